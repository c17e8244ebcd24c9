import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.openfeature.contrib.providers.ofrep.OfrepProvider;
import dev.openfeature.contrib.providers.ofrep.OfrepProviderOptions;
import dev.openfeature.sdk.Client;
import dev.openfeature.sdk.FlagEvaluationDetails;
import dev.openfeature.sdk.ImmutableContext;
import dev.openfeature.sdk.MutableContext;
import dev.openfeature.sdk.OpenFeatureAPI;
import dev.openfeature.sdk.Value;
import java.io.File;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Ask a sidecar through OpenFeature: the URL and a file of questions in, a list of answers as JSON out. */
public final class Ask {
    public static void main(String[] args) throws Exception {
        ObjectMapper json = new ObjectMapper();
        OfrepProviderOptions options = OfrepProviderOptions.builder().baseUrl(args[0]).build();
        OpenFeatureAPI.getInstance().setProviderAndWait(OfrepProvider.constructProvider(options));
        Client client = OpenFeatureAPI.getInstance().getClient();
        List<Map<String, Object>> answers = new ArrayList<>();
        for (JsonNode question : json.readTree(new File(args[1]))) {
            String key = question.get("key").asText();
            JsonNode otherwise = question.get("default");
            String targetingKey = null;
            Map<String, Value> attributes = new HashMap<>();
            for (Map.Entry<String, JsonNode> it : question.get("context").properties()) {
                if (it.getKey().equals("targetingKey")) {
                    targetingKey = it.getValue().asText();
                } else {
                    attributes.put(it.getKey(), value(it.getValue()));
                }
            }
            var about = targetingKey == null
                ? new MutableContext(attributes)
                : new ImmutableContext(targetingKey, attributes);
            FlagEvaluationDetails<?> found = switch (question.get("type").asText()) {
                case "boolean" -> client.getBooleanDetails(key, otherwise.asBoolean(), about);
                case "integer" -> client.getIntegerDetails(key, otherwise.asInt(), about);
                case "float" -> client.getDoubleDetails(key, otherwise.asDouble(), about);
                default -> client.getStringDetails(key, otherwise.asText(), about);
            };
            Map<String, Object> answer = new LinkedHashMap<>();
            answer.put("value", found.getValue());
            answer.put("reason", found.getReason());
            answer.put("code", found.getErrorCode() == null ? null : found.getErrorCode().name());
            Map<String, Object> metadata = new HashMap<>();
            metadata.put("allowed", found.getFlagMetadata().getBoolean("allowed"));
            metadata.put("reason", found.getFlagMetadata().getString("reason"));
            answer.put("metadata", metadata);
            answers.add(answer);
        }
        System.out.println(json.writeValueAsString(answers));
        System.exit(0);
    }

    private static Value value(JsonNode node) {
        if (node.isBoolean()) {
            return new Value(node.asBoolean());
        }
        if (node.isNumber()) {
            return node.isInt() ? new Value(node.asInt()) : new Value(node.asDouble());
        }
        return new Value(node.asText());
    }
}
