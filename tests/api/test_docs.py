"""The page at /docs lists every operation and loads nothing from anywhere."""

from tests.api.makers import ApiHarness


def test_every_operation_is_listed(shared: ApiHarness) -> None:
    text = shared.http.get("/docs").text
    for path, item in shared.app.openapi()["paths"].items():
        for method in item:
            assert f"<code>{method.upper()} {path}</code>" in text
    for word in ("<script", "src=", "http://", "https://"):
        assert word not in text
