import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.WindowStore;

/**
 * Payments added up by Kafka Streams: grouped by what is counted, then a tumbling window with a count and a sum.
 *
 * <p>PaymentTotals KAFKA TOPIC GROUP EVENTS FOLDER grouped|keyed
 *
 * <p>keyed: the topic's keys are the groups already. Otherwise groupBy sends what is needed of each event through a topic of its
 * own. Once EVENTS were added up, FOLDER/result.json tells how long that took and what it came to. It then goes on until it
 * is stopped.
 */
public final class PaymentTotals {
  private static final Duration WINDOW = Duration.ofSeconds(10);
  // A backlog is read one partition after another, so that nearly all of it is late by some partition's clock.
  private static final Duration GRACE = Duration.ofHours(1);
  private static final ObjectMapper JSON = new ObjectMapper();

  @JsonIgnoreProperties(ignoreUnknown = true)
  record Event(String type, String time, Data data) {}

  @JsonIgnoreProperties(ignoreUnknown = true)
  record Data(String provider, String method, long amount) {}

  /** What is needed of an event. */
  record Payment(String cell, long amount) {}

  record Totals(long count, long amount) {
    Totals plus(Payment payment) {
      return new Totals(count + 1, amount + payment.amount());
    }
  }

  private static volatile long began;
  private static volatile long cpu;
  private static volatile long half;
  private static long taken;

  private static Payment lean(Event event) {
    if (began == 0) {
      cpu = cpuNow();
      began = System.nanoTime();
    }
    Data data = event.data();
    String outcome = event.type().substring(event.type().indexOf('.') + 1);
    String cell = outcome + "|" + data.provider() + "|" + data.method();
    return new Payment(cell, data.amount());
  }

  public static void main(String[] words) throws Exception {
    String topic = words[1];
    long last = Long.parseLong(words[3]);
    Path folder = Path.of(words[4]);
    Properties settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, words[0]);
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, words[2]);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, folder.toString());
    settings.put("auto.offset.reset", "earliest");

    CountDownLatch done = new CountDownLatch(1);
    Serde<Payment> payments = json(Payment.class);
    StreamsBuilder builder = new StreamsBuilder();
    KStream<String, Payment> stream =
        builder.stream(
                topic,
                Consumed.with(Serdes.String(), json(Event.class))
                    .withTimestampExtractor((record, before) -> Instant.parse(((Event) record.value()).time()).toEpochMilli()))
            .filter((key, event) -> event.type().startsWith("payment.")) // the rest are heartbeats
            .mapValues(PaymentTotals::lean);
    KGroupedStream<String, Payment> grouped =
        words[5].equals("keyed")
            ? stream.groupByKey(Grouped.with(Serdes.String(), payments))
            : stream.groupBy((key, payment) -> payment.cell(), Grouped.with(Serdes.String(), payments));
    grouped
        .windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, GRACE))
        .aggregate(
            () -> new Totals(0, 0),
            (cell, payment, totals) -> {
              if (++taken == last / 2) {
                half = System.nanoTime();
              }
              if (taken == last) {
                done.countDown();
              }
              return totals.plus(payment);
            },
            Materialized.<String, Totals, WindowStore<Bytes, byte[]>>as("totals")
                .withKeySerde(Serdes.String())
                .withValueSerde(json(Totals.class)));

    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    streams.setUncaughtExceptionHandler(
        error -> {
          error.printStackTrace();
          Runtime.getRuntime().halt(1); // who waits for the result sees that there will be none
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(5))));
    streams.start();
    done.await();
    long ended = System.nanoTime();
    double cpuSeconds = (cpuNow() - cpu) / 1e9;
    Thread.sleep(200); // what the last call of the aggregator returned is in the store by then

    List<Object> rows = new ArrayList<>();
    var store = streams.store(StoreQueryParameters.fromNameAndType("totals", QueryableStoreTypes.<String, Totals>windowStore()));
    try (var all = store.all()) {
      all.forEachRemaining(
          one -> {
            List<Object> row = new ArrayList<>();
            row.add(one.key.window().start() / 1000);
            row.addAll(List.of(one.key.key().split("\\|")));
            row.add(one.value.count());
            row.add(one.value.amount());
            rows.add(row);
          });
    }
    Path fresh = folder.resolve("result.fresh");
    Map<String, Object> result =
        Map.of(
            "seconds", (ended - began) / 1e9,
            "half_seconds", (ended - half) / 1e9,
            "cpu_seconds", cpuSeconds,
            "rows", rows);
    Files.write(fresh, JSON.writeValueAsBytes(result));
    Files.move(fresh, folder.resolve("result.json"));
  }

  private static long cpuNow() {
    return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
  }

  private static <T> Serde<T> json(Class<T> type) {
    return Serdes.serdeFrom((name, value) -> written(value), (name, bytes) -> read(bytes, type));
  }

  private static <T> T read(byte[] bytes, Class<T> type) {
    try {
      return bytes == null ? null : JSON.readValue(bytes, type);
    } catch (java.io.IOException error) {
      throw new IllegalArgumentException(error);
    }
  }

  private static byte[] written(Object value) {
    try {
      return JSON.writeValueAsBytes(value);
    } catch (java.io.IOException error) {
      throw new IllegalArgumentException(error);
    }
  }
}
