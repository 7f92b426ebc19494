"""A client that knows nothing of the contract but its name: it asks the server's reflection service for the rest.

Usage: reflecting.py HOST:PORT. Prints the services that it was told of and what a create answered, as one JSON object.
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "go.micro.srv.consignment.ShippingService"
TIMEOUT_S = 20


def main():
    with grpc.insecure_channel(sys.argv[1]) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = descriptor_pool.DescriptorPool(database)
        method = pool.FindServiceByName(SERVICE).FindMethodByName("CreateConsignment")
        request = message_factory.GetMessageClass(method.input_type)(description="Tea", weight=550)
        call = channel.unary_unary(
            f"/{SERVICE}/{method.name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        created = json_format.MessageToDict(call(request, timeout=TIMEOUT_S), preserving_proto_field_name=True)
        json.dump({"services": list(database.get_services()), "created": created}, sys.stdout)


main()
