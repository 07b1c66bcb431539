from flask import Flask

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
    }
}


class TestConfig:
    SQLALCHEMY_DATABASE_URI = "sqlite:///:memory:"


def test_app():
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    assert app
