"""Clients of the shop's own HTTP service."""


class EmailTaken(Exception):
    pass


class ApiError(Exception):
    pass


class AccountsApi:
    def __init__(self, http):
        self.http = http
        self.token = None

    async def sign_up(self, email, password, name=""):
        answer = await self.http.post("/auth/signup", json={"email": email, "password": password, "name": name})
        if answer.status_code == 409:
            raise EmailTaken(email)
        answer.raise_for_status()
        return answer.json()["id"]

    async def log_in(self, email, password):
        answer = await self.http.post("/auth/login", json={"email": email, "password": password})
        if answer.status_code == 401:
            return False
        answer.raise_for_status()
        self.token = answer.json()["access_token"]
        return True

    async def who_am_i(self):
        answer = await self.http.get("/auth/me", headers={"Authorization": f"Bearer {self.token}"})
        return answer.json() if answer.status_code == 200 else None

    async def user(self, user_id):
        answer = await self.http.get(f"/api/users/{user_id}")
        if answer.status_code == 404:
            return None
        return answer.json()


async def invite_all(http, emails):
    """How many of them are new."""
    new = 0
    for email in emails:
        answer = await http.post("/api/users", json={"email": email})
        if answer.status_code == 201:
            new += 1
    return new


async def track(http, kind, path):
    answer = await http.request("POST", "/api/events", json={"event_type": kind, "path": path})
    if answer.status_code != 201:
        raise ApiError(f"{kind} was not recorded: {answer.status_code}")
    return answer.json()["event_id"]


def is_healthy(client):
    answer = client.get("/healthz")
    return answer.status_code == 200 and answer.json()["status"] == "ok"


async def catalogue(http, page):
    answer = await http.get("/catalogue", params={"page": page})
    return answer.json()["books"]


async def charge(http, cents):
    answer = await http.post("https://payments.example/v1/charges", json={"amount": cents})
    return answer.json()["id"]
