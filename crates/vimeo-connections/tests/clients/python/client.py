"""The whole life of a Vimeo connection, as a customer's Python program leads it.

Run it with BASE_URL, API_KEY, VIMEO_CLIENT_IDENTIFIER, VIMEO_CLIENT_SECRET and VIMEO_ACCESS_TOKEN in the environment.
"""

import os

import requests

API_BASE_URL = os.environ["BASE_URL"]
API_KEY = os.environ["API_KEY"]

HEADERS = {
    "Authorization": API_KEY,
    "Content-Type": "application/json",
}

NAME = "Test Vimeo Connection"


def create_connection(data):
    response = requests.post(f"{API_BASE_URL}/v1/vimeo-connections", headers=HEADERS, json=data)
    response.raise_for_status()
    return response.json()


def get_connections():
    response = requests.get(f"{API_BASE_URL}/v1/vimeo-connections", headers=HEADERS)
    response.raise_for_status()
    return response.json()


def find_connection_by_name(name):
    for connection in get_connections()["Items"]:
        if connection["name"] == name:
            return connection
    return None


def get_connection(connection_id):
    response = requests.get(f"{API_BASE_URL}/v1/vimeo-connections/{connection_id}", headers=HEADERS)
    response.raise_for_status()
    return response.json()


def update_connection(connection_id, data):
    response = requests.put(f"{API_BASE_URL}/v1/vimeo-connections/{connection_id}", headers=HEADERS, json=data)
    response.raise_for_status()
    return response.json()


def delete_connection(connection_id):
    response = requests.delete(f"{API_BASE_URL}/v1/vimeo-connections/{connection_id}", headers=HEADERS)
    response.raise_for_status()
    return response.status_code


def refusal(call, *arguments):
    """The status and the code of a call that must be refused."""
    try:
        call(*arguments)
    except requests.exceptions.HTTPError as error:
        return error.response.status_code, error.response.json()["code"]
    raise AssertionError(f"{call.__name__} was not refused")


def main():
    assert get_connections() == {"Items": []}
    connection_data = {
        "name": NAME,
        "description": "Testing Vimeo connection via API",
        "enabled": True,
        "clientIdentifier": os.environ["VIMEO_CLIENT_IDENTIFIER"],
        "clientSecret": os.environ["VIMEO_CLIENT_SECRET"],
        "accessToken": os.environ["VIMEO_ACCESS_TOKEN"],
    }
    created = create_connection(connection_data)
    connection_id = created["connectionId"]
    assert created == {
        "name": NAME,
        "description": "Testing Vimeo connection via API",
        "enabled": True,
        "clientIdentifier": connection_data["clientIdentifier"],
        "connectionId": connection_id,
        "version": 1,
    }
    print("created")

    assert refusal(create_connection, connection_data) == (409, "CONNECTION_NAME_EXISTS")
    nameless = {key: value for key, value in connection_data.items() if key != "name"}
    assert refusal(create_connection, nameless) == (400, "INVALID_REQUEST_BODY")
    wrong = connection_data | {"name": "Wrong", "clientSecret": "wrong"}
    assert refusal(create_connection, wrong) == (422, "INVALID_VIMEO_CREDENTIALS")

    found = find_connection_by_name(NAME)
    assert found is not None and found["connectionId"] == connection_id
    assert found["type"] == "VIMEO" and found["createdDate"] == found["updatedDate"]
    assert "clientSecret" not in found and "accessToken" not in found
    assert get_connection(connection_id) == found
    print("found")

    # What was got is sent back, changed.
    updated = update_connection(connection_id, found | {"description": "Updated", "enabled": False})
    assert (updated["description"], updated["enabled"], updated["version"]) == ("Updated", False, 2)
    assert updated["name"] == NAME and updated["updatedDate"] > updated["createdDate"]
    stale = {"name": "Too late", "version": 1}
    assert refusal(update_connection, connection_id, stale) == (409, "VERSION_CONFLICT")
    assert get_connection(connection_id) == updated
    print("updated")

    assert delete_connection(connection_id) == 204
    assert delete_connection(connection_id) == 204
    assert refusal(get_connection, connection_id) == (404, "CONNECTION_NOT_FOUND")
    assert find_connection_by_name(NAME) is None
    print("deleted")

    HEADERS["Authorization"] = "pictai_this-key-is-unknown"
    assert refusal(get_connections) == (401, "UNAUTHORIZED")
    print("done")


main()
