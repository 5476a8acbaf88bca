"""Apache Kafka for tests: real, on the loopback interface, gone with the test run."""

from tests.support.kafka.server import KAFKA_VERSION, KafkaServer, NoKafka, fetched, new_enough_java, start_kafka

__all__ = ["KAFKA_VERSION", "KafkaServer", "NoKafka", "fetched", "new_enough_java", "start_kafka"]
