"""The official clients of the protocol, unchanged."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import Any

import numpy as np
import pytest

Start = Any
Fakes = Any

DATATYPES = [
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
]


@pytest.fixture
def address(start: Start, fakes: Fakes) -> str:
    models = {f"identity_{dtype}": fakes.identity(dtype) for dtype in DATATYPES}
    port: int = start({"affine": fakes.affine(), "lengths": fakes.lengths(), **models}).port
    return f"127.0.0.1:{port}"


def sample(dtype: str) -> Any:
    return np.array([[0, 1, 2], [3, 4, 100]]).astype(dtype)


class TestTritonClient:
    @pytest.fixture
    def client(self, address: str) -> Any:
        http = pytest.importorskip("tritonclient.http")
        with http.InferenceServerClient(address) as client:
            yield client

    def test_health_and_metadata(self, client: Any) -> None:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("affine")
        assert client.is_model_ready("affine", "1")
        assert not client.is_model_ready("absent")
        assert client.get_server_metadata()["name"] == "rushlight"
        assert client.get_model_metadata("affine")["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
        assert client.get_model_config("affine")["max_batch_size"] == 32
        assert {"name": "affine", "version": "1", "state": "READY", "reason": ""} in client.get_model_repository_index()
        assert client.get_inference_statistics("affine")["model_stats"][0]["name"] == "affine"

    def test_infer_of_every_datatype(self, client: Any) -> None:
        http = pytest.importorskip("tritonclient.http")
        utils = pytest.importorskip("tritonclient.utils")
        for dtype, binary_in, binary_out in product(DATATYPES, (True, False), (True, False, None)):
            if dtype == "float16" and not (binary_in and binary_out is not False):
                continue  # the client sends and reads FP16 as binary only
            x = sample(dtype)
            tensor = http.InferInput("x", x.shape, utils.np_to_triton_dtype(x.dtype))
            tensor.set_data_from_numpy(x, binary_data=binary_in)
            outputs = None if binary_out is None else [http.InferRequestedOutput("y", binary_data=binary_out)]
            result = client.infer(f"identity_{dtype}", [tensor], outputs=outputs, request_id="r", timeout=30_000_000)
            assert result.get_response()["id"] == "r"
            assert result.as_numpy("y").dtype == x.dtype
            np.testing.assert_array_equal(result.as_numpy("y"), x)

    def test_two_inputs_and_chosen_outputs(self, client: Any) -> None:
        http = pytest.importorskip("tritonclient.http")
        ids = np.arange(6).reshape(2, 3)
        tensors = []
        for name, binary in (("ids", True), ("mask", False)):
            tensors.append(http.InferInput(name, ids.shape, "INT64"))
            tensors[-1].set_data_from_numpy(ids, binary_data=binary)
        result = client.infer("lengths", tensors, outputs=[http.InferRequestedOutput("total", binary_data=False)])
        np.testing.assert_array_equal(result.as_numpy("total"), (ids * ids).sum(1, keepdims=True))
        assert result.as_numpy("doubled") is None

    def test_not_a_number(self, client: Any) -> None:
        http = pytest.importorskip("tritonclient.http")
        x = np.array([[np.nan, np.inf, -np.inf, 1]], np.float32)
        tensor = http.InferInput("x", x.shape, "FP32")
        for binary in (True, False):
            tensor.set_data_from_numpy(x, binary_data=binary)
            result = client.infer("affine", [tensor], outputs=[http.InferRequestedOutput("y", binary_data=binary)])
            np.testing.assert_array_equal(result.as_numpy("y"), x * 2 + 1)

    def test_async_requests(self, client: Any) -> None:
        http = pytest.importorskip("tritonclient.http")
        pending = []
        for value in range(8):
            tensor = http.InferInput("x", (1, 4), "FP32")
            tensor.set_data_from_numpy(np.full((1, 4), value, np.float32))
            pending.append(client.async_infer("affine", [tensor]))
        for value, request in enumerate(pending):
            np.testing.assert_array_equal(request.get_result().as_numpy("y"), np.full((1, 4), 2 * value + 1))

    def test_errors_carry_the_servers_words(self, client: Any) -> None:
        http = pytest.importorskip("tritonclient.http")
        utils = pytest.importorskip("tritonclient.utils")
        tensor = http.InferInput("x", (1, 3), "FP32")
        tensor.set_data_from_numpy(np.ones((1, 3), np.float32))
        with pytest.raises(utils.InferenceServerException, match="the model takes"):
            client.infer("affine", [tensor])
        with pytest.raises(utils.InferenceServerException, match="there is no model 'absent'"):
            client.infer("absent", [tensor])

    def test_asyncio_client(self, address: str) -> None:
        aio = pytest.importorskip("tritonclient.http.aio")

        async def run() -> None:
            async with aio.InferenceServerClient(address) as client:
                assert await client.is_server_ready()

                async def infer(value: int) -> Any:
                    tensor = aio.InferInput("x", (1, 4), "FP32")
                    tensor.set_data_from_numpy(np.full((1, 4), value, np.float32))
                    return (await client.infer("affine", [tensor])).as_numpy("y")

                answers = await asyncio.gather(*[infer(value) for value in range(20)])
                np.testing.assert_array_equal(np.concatenate(answers)[:, 0], 2 * np.arange(20) + 1)

        asyncio.run(run())


@pytest.mark.filterwarnings("ignore")  # the client's own imports warn
class TestKServeClient:
    def test_health_and_infer(self, address: str) -> None:
        kserve = pytest.importorskip("kserve")

        url = f"http://{address}"
        x = sample("float32")

        async def run() -> None:
            async with kserve.InferenceRESTClient(kserve.inference_client.RESTConfig(protocol="v2")) as client:
                assert await client.is_server_live(url)
                assert await client.is_server_ready(url)
                assert await client.is_model_ready(url, "affine")
                assert not await client.is_model_ready(url, "absent")
                for binary in (True, False):
                    tensor = kserve.InferInput("x", list(x.shape), "FP32")
                    tensor.set_data_from_numpy(x, binary_data=binary)
                    for binary_out in (True, False):
                        request = kserve.InferRequest(
                            "identity_float32", [tensor], parameters={"binary_data_output": binary_out}
                        )
                        response = await client.infer(url, request, model_name="identity_float32")
                        np.testing.assert_array_equal(response.outputs[0].as_numpy(), x)

        asyncio.run(run())
