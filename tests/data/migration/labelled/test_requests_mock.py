import requests
import requests_mock


def test_fixture(requests_mock):
    requests_mock.get("https://example.com", text="x")
    assert requests.get("https://example.com").text == "x"


@requests_mock.Mocker()
def test_decorated(m):
    m.post("https://example.com", status_code=201)


def test_context():
    with requests_mock.Mocker() as mocker:
        mocker.register_uri("GET", "https://example.com")


@requests_mock.Mocker(kw="net")
def test_keyword(**kwargs):
    assert "net" in kwargs
