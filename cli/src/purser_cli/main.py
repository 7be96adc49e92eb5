"""`purser`: the operator's command."""

import typer

from purser_cli import dlq, filling, journey, login, outbox, review, topics

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(topics.app, name="topics")
app.add_typer(dlq.app, name="dlq")
app.add_typer(outbox.app, name="outbox")
app.add_typer(review.app, name="review")
app.command("token")(login.token)
app.command("demo")(journey.demo)
app.command("fill")(filling.fill)

if __name__ == "__main__":
    app()
