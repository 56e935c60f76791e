package org.json;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** As much of Android's org.json as the app's files call; enough of a parser for what `json.dumps` writes in ASCII. */
public class JSONObject {
    private final Map<String, Object> values;

    public JSONObject(String text) {
        values = ((JSONObject) new Reader(text).value()).values;
    }

    private JSONObject(Map<String, Object> values) {
        this.values = values;
    }

    private Object get(String key) {
        Object found = values.get(key);
        if (found == null) throw new IllegalArgumentException("No value for " + key);
        return found;
    }

    public String getString(String key) {
        return (String) get(key);
    }

    public double getDouble(String key) {
        return (Double) get(key);
    }

    public int getInt(String key) {
        return (int) getDouble(key);
    }

    public boolean getBoolean(String key) {
        return (Boolean) get(key);
    }

    public JSONArray getJSONArray(String key) {
        return (JSONArray) get(key);
    }

    public JSONObject getJSONObject(String key) {
        return (JSONObject) get(key);
    }

    public JSONArray optJSONArray(String key) {
        return values.get(key) instanceof JSONArray found ? found : null;
    }

    public String optString(String key) {
        return values.get(key) instanceof String found ? found : "";
    }

    public double optDouble(String key, double fallback) {
        return values.get(key) instanceof Double found ? found : fallback;
    }

    private static final class Reader {
        private final String text;
        private int at;

        Reader(String text) {
            this.text = text;
        }

        Object value() {
            char first = next();
            if (first == '{') {
                Map<String, Object> found = new LinkedHashMap<>();
                for (char end = peek('}'); end != '}'; end = next()) {
                    next();
                    String key = string();
                    next();
                    found.put(key, value());
                }
                return new JSONObject(found);
            }
            if (first == '[') {
                List<Object> found = new ArrayList<>();
                for (char end = peek(']'); end != ']'; end = next()) found.add(value());
                return new JSONArray(found);
            }
            if (first == '"') return string();
            int start = at - 1;
            while (at < text.length() && ",]} \n".indexOf(text.charAt(at)) < 0) at++;
            String word = text.substring(start, at);
            return switch (word) {
                case "true" -> true;
                case "false" -> false;
                case "null" -> null;
                default -> Double.valueOf(word);
            };
        }

        private char next() {
            while (Character.isWhitespace(text.charAt(at))) at++;
            return text.charAt(at++);
        }

        /** The end if nothing stands before it, which is then read; otherwise nothing is read. */
        private char peek(char end) {
            int before = at;
            if (next() == end) return end;
            at = before;
            return ' ';
        }

        private String string() {
            StringBuilder found = new StringBuilder();
            for (char each = text.charAt(at++); each != '"'; each = text.charAt(at++)) {
                if (each != '\\') found.append(each);
                else if (text.charAt(at++) == 'u') {
                    found.append((char) Integer.parseInt(text.substring(at, at + 4), 16));
                    at += 4;
                } else found.append(text.charAt(at - 1));
            }
            return found.toString();
        }
    }
}
