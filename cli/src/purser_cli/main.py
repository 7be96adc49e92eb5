"""`purser`: the operator's command."""

import typer

from purser_cli import journey, login, topics

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(topics.app, name="topics")
app.command("token")(login.token)
app.command("demo")(journey.demo)

if __name__ == "__main__":
    app()
