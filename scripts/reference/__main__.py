"""`python -m scripts.reference` rewrites the pages of docs/ that the code itself describes."""

from scripts.reference import PAGES


def main() -> None:
    """Write every page."""
    for page in PAGES:
        page.PAGE.write_text(page.build(), encoding="utf-8")


if __name__ == "__main__":
    main()
