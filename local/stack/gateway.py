"""What the local CloudFormation leaves out of a deployment, done through the same AWS APIs afterwards.

An HTTP API's OpenAPI body is ignored there: its routes, integrations and authorizers are made from the processed
template, so that they are exactly what SAM wrote. May know boto3; this file alone knows what is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from shared.errors import Permanent

_REFERENCE = re.compile(r"\$\{(?P<id>\w+)(?P<arn>\.Arn)?\}")

Json = dict[str, Any]


def complete(stack: str, credentials: Mapping[str, str], endpoint: str, named: Mapping[str, str]) -> dict[str, str]:
    """Complete the deployment and return facts: `named` outputs, and where the API is."""
    import boto3  # noqa: PLC0415  a third of a second, for this part only

    session = boto3.Session(credentials["AWS_ACCESS_KEY_ID"], credentials["AWS_SECRET_ACCESS_KEY"])
    region = credentials["AWS_REGION"]
    clients = {
        name: session.client(name, region_name=region, endpoint_url=endpoint)
        for name in ("cloudformation", "apigatewayv2", "lambda", "s3")
    }
    try:
        deployed = Deployed(stack, clients)
        api = deployed.complete_api()
        outputs = {fact: deployed.outputs[name] for name, fact in named.items()}
        return outputs | {
            "API_URL": f"{endpoint}/_aws/execute-api/{api}/$default",
            "TABLE_NAME": deployed.physical["Table"],
            "STREAM_NAME": deployed.physical["Stream"],
            "DEAD_LETTERS_QUEUE_URL": deployed.physical["DeadLetterQueue"],
        }
    finally:
        for client in clients.values():
            client.close()


class Deployed:
    """A stack as CloudFormation knows it."""

    def __init__(self, stack: str, clients: Mapping[str, Any]) -> None:
        self._clients = clients
        formation = clients["cloudformation"]
        described = formation.describe_stacks(StackName=stack)["Stacks"][0]
        self.outputs = {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", [])}
        self._parameters = {one["ParameterKey"]: one["ParameterValue"] for one in described.get("Parameters", [])}
        listed = formation.describe_stack_resources(StackName=stack)["StackResources"]
        self.physical = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in listed}
        body = formation.get_template(StackName=stack, TemplateStage="Processed")["TemplateBody"]
        self._resources: Json = body["Resources"]

    def complete_api(self) -> str:
        """Give the HTTP API what its body asks for and return its id; what it has already is left alone."""
        name, resource = next(
            (name, one) for name, one in self._resources.items() if one["Type"] == "AWS::ApiGatewayV2::Api"
        )
        api, body = str(self.physical[name]), resource["Properties"]["Body"]
        gateway = self._clients["apigatewayv2"]
        there = {route["RouteKey"] for route in gateway.get_routes(ApiId=api)["Items"]}
        authorizers = {} if there else self._authorizers(api, body)
        integrations: dict[str, str] = {}
        for path, method, operation in _operations(body):
            key = f"{method.upper()} {path}"
            if key not in there:
                self._route(api, key, operation, authorizers, integrations)
        return api

    def _authorizers(self, api: str, body: Json) -> dict[str, str]:
        """Make the authorizers of the API and return their ids by name."""
        made = {}
        for name, scheme in body["components"]["securitySchemes"].items():
            asked = scheme["x-amazon-apigateway-authorizer"]
            told = self._clients["apigatewayv2"].create_authorizer(
                ApiId=api,
                AuthorizerType="JWT",
                Name=name,
                IdentitySource=[asked["identitySource"]],
                JwtConfiguration={
                    "Issuer": self._value(asked["jwtConfiguration"]["issuer"]),
                    "Audience": self._value(asked["jwtConfiguration"]["audience"]).split(","),
                },
            )
            made[name] = told["AuthorizerId"]
        return made

    def _route(
        self, api: str, key: str, operation: Json, authorizers: Mapping[str, str], integrations: dict[str, str]
    ) -> None:
        gateway, asked = self._clients["apigatewayv2"], operation["x-amazon-apigateway-integration"]
        function = self._function(asked["uri"]["Fn::Sub"])
        if function not in integrations:
            told = gateway.create_integration(
                ApiId=api,
                IntegrationType="AWS_PROXY",
                IntegrationUri=function,
                PayloadFormatVersion=asked["payloadFormatVersion"],
            )
            integrations[function] = told["IntegrationId"]
        guard = next(iter(operation["security"][0]))
        gateway.create_route(
            ApiId=api,
            RouteKey=key,
            Target=f"integrations/{integrations[function]}",
            AuthorizationType="JWT",
            AuthorizerId=authorizers[guard],
        )

    def _function(self, uri: str) -> str:
        """Return the ARN of the function, or alias, in an integration's address."""
        for found in _REFERENCE.finditer(uri):
            if found["id"] in self.physical:
                physical = self.physical[found["id"]]
                return self._arn(physical) if found["arn"] else physical
        raise Permanent(f"no function in {uri}", code="unknown-integration")

    def _arn(self, function: str) -> str:
        arn: str = self._clients["lambda"].get_function(FunctionName=function)["Configuration"]["FunctionArn"]
        return arn

    def _value(self, given: Any) -> str:  # noqa: ANN401  a text, or a reference to a parameter
        return given if isinstance(given, str) else str(self._parameters[given["Ref"]])


def _operations(body: Json) -> list[tuple[str, str, Json]]:
    paths: Json = body["paths"]
    return [
        (path, method, operation)
        for path, methods in paths.items()
        for method, operation in methods.items()
        if "x-amazon-apigateway-integration" in operation
    ]
