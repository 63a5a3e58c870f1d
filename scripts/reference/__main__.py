"""`python -m scripts.reference` rewrites docs/cli.md and docs/rest.md."""

from scripts.reference import cli, rest


def main() -> None:
    """Write both pages."""
    for page in (cli, rest):
        page.PAGE.write_text(page.build(), encoding="utf-8")


if __name__ == "__main__":
    main()
