# Gives back what it gets, and says what that is.
import procall

echo = procall.Service("echo")


@echo.method
def back(value):
    return value


@echo.method
def caller(ctx: procall.Context) -> str:
    return ctx.caller.name


@echo.method
def kind(value) -> str:
    return type(value).__name__


echo.run()
