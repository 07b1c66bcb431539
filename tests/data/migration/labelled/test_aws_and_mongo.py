import boto3
import mongomock
import moto
from moto import mock_aws


@mock_aws
def test_bare():
    assert boto3.client("s3", region_name="us-east-1")


@mock_aws()
def test_called():
    pass


@moto.mock_sqs
class TestQueue:
    def test_it(self):
        with moto.mock_dynamodb():
            pass


def test_documents():
    collection = mongomock.MongoClient().db.collection
    collection.insert_one({"a": 1})


@mongomock.patch(servers=(("mongo.example.com", 27017),))
def test_patched():
    pass
