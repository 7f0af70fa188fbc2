"""The typed model service."""

from __future__ import annotations

from isthmus.v1 import model_pb2

from isthmusd.core.model import Listed
from isthmusd.core.request import Operation
from isthmusd.pipeline.models import get_model, list_models
from isthmusd.rpc.call import Context
from isthmusd.rpc.typed import TypedCalls, answering


class ModelServicer:
    """Implements `isthmus.v1.ModelService`: a method for each of its methods."""

    def __init__(self, calls: TypedCalls) -> None:
        self._calls = calls

    async def ListModels(self, request: model_pb2.ListModelsRequest, context: Context) -> model_pb2.ListModelsResponse:
        """List what this caller may use."""
        arrival = self._calls.reader.typed(context, Operation.MODELS, request)
        async with answering(context, arrival):
            models = await list_models(self._calls.gateway, arrival)
            return model_pb2.ListModelsResponse(models=[_message(listed) for listed in models])
        raise AssertionError("answering() ends the call or lets it return")

    async def GetModel(self, request: model_pb2.GetModelRequest, context: Context) -> model_pb2.GetModelResponse:
        """Show one model."""
        arrival = self._calls.reader.typed(context, Operation.MODELS, request)
        async with answering(context, arrival):
            return model_pb2.GetModelResponse(model=_message(await get_model(self._calls.gateway, arrival, request.id)))
        raise AssertionError("answering() ends the call or lets it return")


def _message(listed: Listed) -> model_pb2.Model:
    return model_pb2.Model(id=listed.id, owned_by=listed.provider, provider=listed.provider)
