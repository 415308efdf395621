"""A topic on the Pub/Sub emulator, with the push subscription that the README sets up."""

from __future__ import annotations

from uuid import uuid4

from google.cloud.pubsub_v1 import SubscriberClient

from gcp.adapters.pubsub import PubsubBus, publisher


def topic_with_push(endpoint: str) -> PubsubBus:
    """Make a topic and an ordered push subscription to `endpoint`; return the bus that publishes there."""
    client = publisher()
    name = f"records-{uuid4().hex[:8]}"
    topic = client.topic_path("local", name)
    client.create_topic(name=topic)
    with SubscriberClient() as subscriber:
        subscriber.create_subscription(
            request={
                "name": subscriber.subscription_path("local", name),
                "topic": topic,
                "push_config": {"push_endpoint": endpoint},
                "enable_message_ordering": True,
                "ack_deadline_seconds": 30,
            }
        )
    return PubsubBus(client, topic)
