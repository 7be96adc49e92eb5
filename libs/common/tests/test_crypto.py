"""Sealing: bound to purpose and id, rotated without opening, never printed."""

from pathlib import Path

import pytest

from purser_common.crypto import KeyDirectory, KeyMissing, SealBroken, Sealed, Sealer, keyed_digest

SECRET = "canary-5d1f0b"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    (tmp_path / "2026-01.key").write_bytes(b"a" * 32)
    return tmp_path


def test_what_was_sealed_opens_at_its_place(keys: Path) -> None:
    sealer = Sealer(KeyDirectory(keys))
    sealed = sealer.seal(SECRET, purpose="reseller", id="r1")
    stored = Sealed.from_document(sealed.to_document())
    assert sealer.open(stored, purpose="reseller", id="r1") == SECRET


@pytest.mark.parametrize(
    ("purpose", "id"), [("reseller", "r2"), ("tenant", "r1"), ("resell", "er:r1")]
)
def test_a_secret_moved_elsewhere_does_not_open(keys: Path, purpose: str, id: str) -> None:
    sealer = Sealer(KeyDirectory(keys))
    sealed = sealer.seal(SECRET, purpose="reseller", id="r1")
    with pytest.raises(SealBroken):
        sealer.open(sealed, purpose=purpose, id=id)


def test_changed_bytes_do_not_open(keys: Path) -> None:
    sealer = Sealer(KeyDirectory(keys))
    sealed = sealer.seal(SECRET, purpose="p", id="1")
    broken = Sealed(sealed.kid, sealed.wrapped_key, sealed.ciphertext[:-1] + b"\0")
    with pytest.raises(SealBroken):
        sealer.open(broken, purpose="p", id="1")


def test_rotation_needs_only_the_new_key_afterwards(keys: Path) -> None:
    old = Sealer(KeyDirectory(keys)).seal(SECRET, purpose="p", id="1")
    (keys / "2026-02.key").write_bytes(b"b" * 32)
    both = Sealer(KeyDirectory(keys))
    assert both.open(old, purpose="p", id="1") == SECRET
    new = both.rewrap(old, purpose="p", id="1")
    assert (new.kid, new.ciphertext) == ("2026-02", old.ciphertext)
    (keys / "2026-01.key").unlink()
    only_new = Sealer(KeyDirectory(keys))
    assert only_new.open(new, purpose="p", id="1") == SECRET
    with pytest.raises(KeyMissing, match="2026-01"):
        only_new.open(old, purpose="p", id="1")


def test_no_key_and_a_short_key_are_named(tmp_path: Path) -> None:
    with pytest.raises(KeyMissing, match="no key-encryption key"):
        KeyDirectory(tmp_path)
    (tmp_path / "short.key").write_bytes(b"x")
    with pytest.raises(ValueError, match="short"):
        KeyDirectory(tmp_path)


def test_nothing_that_holds_a_secret_prints_it(keys: Path) -> None:
    sealer = Sealer(KeyDirectory(keys))
    sealed = sealer.seal(SECRET, purpose="p", id="1")
    shown = f"{sealer!r} {sealed!r} {KeyDirectory(keys)!r} {sealed.to_document()!r}"
    assert SECRET not in shown
    assert "aaaa" not in shown


def test_parts_of_a_digest_cannot_be_shifted() -> None:
    assert keyed_digest(b"k", b"ab", b"c") != keyed_digest(b"k", b"a", b"bc")
