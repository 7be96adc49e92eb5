"""What the catalogue of one login lists, and what it pays."""

from typing import Any

MPN = "SIMBP:0001_P1Y:M"


def test_a_login_may_list_less_and_pay_something_else(sandbox: Any, account: Any) -> None:
    leaf = sandbox.account(kind="leaf")
    address = f"/sandbox/logins/{leaf.login['id']}"
    all_rows = leaf.get("/products", limit=200)["data"]
    [before] = leaf.get("/products", mpn=MPN)["data"]
    sandbox.http.patch(address, json={"costs": {MPN: "18.00"}}).raise_for_status()
    [after] = leaf.get("/products", mpn=MPN)["data"]
    assert [price["amount"] for price in after["costs"]] == ["18.00"]
    assert after["prices"] == before["prices"]
    sandbox.http.patch(address, json={"hidden": [MPN]}).raise_for_status()
    assert leaf.get("/products", mpn=MPN)["data"] == []
    shown = leaf.get("/products", limit=200)
    assert shown["pagination"]["total"] == len(all_rows) - 1
    sandbox.http.patch(address, json={"products": 7, "hidden": []}).raise_for_status()
    assert leaf.get("/products")["pagination"]["total"] == 7
    assert account.get("/products", limit=200)["pagination"]["total"] == len(all_rows)
