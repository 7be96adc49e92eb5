"""The switch that stops buying over HTTP."""

from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from purser_common.outbox import Loaded
from purser_common.web import CallerOf, CauseOf, Page, RequestOf, answer, confirmed, if_match
from purser_events.buying import BuyingStop
from reseller_service.api.resellers import Limit, one_line, require_role
from reseller_service.commands import buying as commands
from reseller_service.commands.buying import Switch


class Views(Protocol):
    """Reads this service's own database."""

    async def stops(self, cursor: str | None, limit: int) -> dict[str, Any]: ...


class StopRequest(BaseModel):
    """What to stop, and why."""

    model_config = ConfigDict(extra="forbid")

    scope: str = Field(max_length=100, description="`all`, or the id of one reseller.")
    reason: Annotated[
        str,
        Field(max_length=500, description="Shown to everybody who waits."),
        AfterValidator(one_line),
    ]


def router(switch: Switch, views: Views) -> APIRouter:
    """The public routes about stops of buying."""
    routes = APIRouter(prefix="/v1/buying-stops", tags=["buying stops"])

    @routes.post("", status_code=201, operation_id="stop_buying")
    async def stop(
        body: StopRequest, caller: CallerOf, cause: CauseOf, keyed: RequestOf, response: Response
    ) -> BuyingStop:
        """Stop all buying, or one reseller's, at once; what waits is sent after the resume."""
        loaded = await commands.stop_buying(switch, body.scope, body.reason, caller, cause, keyed)
        response.headers["Location"] = f"/v1/buying-stops/{loaded.state.id}"
        return _answered(response, loaded)

    @routes.get("", operation_id="list_buying_stops")
    async def listed(
        caller: CallerOf, cursor: str | None = None, limit: Limit = 50
    ) -> Page[BuyingStop]:
        """The stops that hold now, by scope."""
        require_role(caller)
        return Page[BuyingStop].model_validate(await views.stops(cursor, limit))

    @routes.get("/{id}", operation_id="view_buying_stop")
    async def one(id: str, caller: CallerOf, response: Response) -> BuyingStop:
        """The stop that holds in one scope."""
        require_role(caller)
        return _answered(response, await commands.view_stop(switch, id))

    @routes.delete("/{id}", operation_id="resume_buying", dependencies=[confirmed])
    async def resume(
        id: str,
        caller: CallerOf,
        cause: CauseOf,
        response: Response,
        expected: int = if_match,
    ) -> BuyingStop:
        """Lift the stop of one scope."""
        return _answered(
            response, await commands.resume_buying(switch, id, expected, caller, cause)
        )

    return routes


def _answered(response: Response, loaded: Loaded[BuyingStop]) -> BuyingStop:
    return answer(response, f"buying-stop/{loaded.state.id}", loaded.sequence, loaded.state)
