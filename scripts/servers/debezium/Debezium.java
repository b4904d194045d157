import java.io.FileReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.debezium.embedded.Connect;
import io.debezium.engine.DebeziumEngine;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.storage.Converter;
import org.apache.kafka.connect.storage.HeaderConverter;
import org.apache.kafka.connect.storage.SimpleHeaderConverter;

/**
 * Debezium's engine as its properties say, printing what Kafka would get, one
 * JSON object a line: Debezium FILE
 *
 * Like a worker of Kafka Connect it makes the bytes of key, value and headers
 * by the converters that the properties name.
 */
public class Debezium
{
	private static final PrintStream output = new PrintStream(System.out, false, StandardCharsets.UTF_8);

	public static void main(String[] args) throws Exception
	{
		Properties properties = new Properties();

		try (FileReader reader = new FileReader(args[0], StandardCharsets.UTF_8))
		{
			properties.load(reader);
		}
		Converter keys = converter(properties, "key.converter", true);
		Converter values = converter(properties, "value.converter", false);
		HeaderConverter headers = new SimpleHeaderConverter();

		DebeziumEngine.create(Connect.class)
			.using(properties)
			.using((success, message, problem) -> {
				System.err.println(message);
				if (!success)
					Runtime.getRuntime().halt(1);
			})
			.notifying((events, committer) -> {
				for (var event : events)
					print(event.value(), keys, values, headers);
				output.flush();
				for (var event : events)
					committer.markProcessed(event);
				committer.markBatchFinished();
			})
			.build()
			.run();
	}

	private static Converter converter(Properties properties, String name, boolean isKey) throws Exception
	{
		Converter converter = (Converter) Class.forName(properties.getProperty(name)).getDeclaredConstructor().newInstance();

		converter.configure(Map.of(), isKey);
		return converter;
	}

	private static void print(SourceRecord record, Converter keys, Converter values, HeaderConverter headers)
	{
		Map<String, Object> line = new LinkedHashMap<>();
		Map<String, String> named = new LinkedHashMap<>();

		for (Header header : record.headers())
			named.put(header.key(), text(headers.fromConnectHeader(record.topic(), header.key(), header.schema(), header.value())));
		line.put("topic", record.topic());
		line.put("key", text(keys.fromConnectData(record.topic(), record.keySchema(), record.key())));
		line.put("headers", named);
		line.put("value", text(values.fromConnectData(record.topic(), record.valueSchema(), record.value())));
		output.println(new ObjectMapper().valueToTree(line).toString());
	}

	private static String text(byte[] bytes)
	{
		return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
	}
}
