"""What a client of the Go services does, with Google's own gRPC and code generated from frozen.proto alone.

Usage: client.py HOST:PORT FILE. Prints what was answered, each message in full, as one JSON object.
"""

import json
import sys

import grpc
from google.protobuf import json_format

import frozen_pb2
import frozen_pb2_grpc

TIMEOUT_S = 20


def in_full(message):
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def refusal(call, request):
    try:
        call(request, timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details()}
    raise SystemExit(f"this was taken: {request}")


def main():
    address, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        consignment = json_format.Parse(file.read(), frozen_pb2.Consignment())
    bad = frozen_pb2.Consignment(weight=-1)
    with grpc.insecure_channel(address) as channel:
        stub = frozen_pb2_grpc.ShippingServiceStub(channel)
        answers = {
            "created": in_full(stub.CreateConsignment(consignment, timeout=TIMEOUT_S)),
            "refused": refusal(stub.CreateConsignment, bad),
            "got": in_full(stub.GetConsignments(frozen_pb2.GetRequest(), timeout=TIMEOUT_S)),
        }
    json.dump(answers, sys.stdout)


main()
