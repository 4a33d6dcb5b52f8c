"""The Python worker: three ways to say what an order is. Another one never reaches a function."""

from dataclasses import dataclass
from typing import Annotated

import msgspec
import procall
import pydantic

shop = procall.Service("shop")


@dataclass
class Order:
    name: str
    count: int = 1


@shop.method
def by_dataclass(order: Order) -> str:
    return f"{order.count} x {order.name}"


class CheckedOrder(pydantic.BaseModel):
    name: str
    count: int = pydantic.Field(default=1, gt=0)


@shop.method
def by_pydantic(order: CheckedOrder) -> str:
    return f"{order.count} x {order.name}"


class FastOrder(msgspec.Struct):
    name: str
    count: Annotated[int, msgspec.Meta(gt=0)] = 1


@shop.method
def by_msgspec(order: FastOrder) -> str:
    return f"{order.count} x {order.name}"


if __name__ == "__main__":
    shop.run()
