"""What reading topics and storing their records costs: our consumer beside librdkafka alone and Kafka Connect."""
