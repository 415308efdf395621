"""A function app that listens to a queue, keeps what it hears in a file, and cannot bear the word `poison`."""

from pathlib import Path

import azure.functions as func

app = func.FunctionApp()


@app.queue_trigger(arg_name="message", queue_name="words", connection="AzureWebJobsStorage")
def hear(message: func.QueueMessage) -> None:
    """Write the message down with the number of its delivery."""
    text = message.get_body().decode()
    with Path("heard").open("a") as heard:
        heard.write(f"{text} {message.dequeue_count}\n")
    if "poison" in text:
        raise ValueError(text)


@app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *")
def nightly(timer: func.TimerRequest) -> None:
    """Write down that it ticked."""
    with Path("heard").open("a") as heard:
        heard.write(f"tick {timer.past_due}\n")
