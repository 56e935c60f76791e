"""Ranges of stored numbers."""

from typing import Annotated

from pydantic import Field

# Times, ratios and loads are numbers; scores may be NaN, which is a verdict about the picture.
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
