"""What a network is made of and what it costs, from one pass over its shapes."""

from residua.anatomy.anatomy import Anatomy as Anatomy
from residua.anatomy.cost import Cost as Cost
from residua.anatomy.cost import cost as cost
from residua.anatomy.inspect import inspect as inspect
