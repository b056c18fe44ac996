package messages

import (
	"bufio"
	"bytes"
	"testing"
	"time"

	"github.com/outcry-mqtt/outcry/broker"
)

func TestPrint(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 60_000_000, time.UTC)
	plain := &broker.Message{Topic: "a/b", Payload: []byte("<hé>"), QoS: 1}
	binary := &broker.Message{Topic: "a", Payload: []byte{0xff, 0}, Retain: true}
	props := &broker.Message{
		Topic: "a", ContentType: "text/plain", MessageExpiry: time.Minute, ResponseTopic: "r", CorrelationData: []byte{0xfe},
		PayloadFormat: 1, UserProperties: []broker.UserProperty{{Name: "k", Value: "1"}, {Name: "k", Value: "2"}},
	}
	tests := []struct {
		name  string
		flags printFlags
		msg   *broker.Message
		want  string
	}{
		{"payload", printFlags{}, plain, "<hé>\n"},
		{"no newline", printFlags{noNewline: true}, plain, "<hé>"},
		{"verbose", printFlags{verbose: true}, plain, "a/b <hé>\n"},
		{"binary", printFlags{}, binary, "\xff\x00\n"},
		{"JSON", printFlags{json: true}, plain,
			`{"topic":"a/b","payload":"<hé>","qos":1,"retain":false,"time":"2026-01-02T03:04:05.06Z"}` + "\n"},
		{"JSON, binary", printFlags{json: true}, binary,
			`{"topic":"a","payload_b64":"/wA=","qos":0,"retain":true,"time":"2026-01-02T03:04:05.06Z"}` + "\n"},
		{"JSON, empty", printFlags{json: true}, &broker.Message{Topic: "a"},
			`{"topic":"a","payload":"","qos":0,"retain":false,"time":"2026-01-02T03:04:05.06Z"}` + "\n"},
		{"JSON, properties", printFlags{json: true}, props,
			`{"topic":"a","payload":"","qos":0,"retain":false,"time":"2026-01-02T03:04:05.06Z","props":{"payload_format":1,` +
				`"expiry_s":60,"content_type":"text/plain","response_topic":"r","correlation_data_b64":"/g==",` +
				`"user":[{"name":"k","value":"1"},{"name":"k","value":"2"}]}}` + "\n"},
		{"format", printFlags{format: `%t|%p|%x|%l|%q|%r|%U|%I|%%\t\n\y`, noNewline: true}, plain,
			"a/b|<hé>|3c68c3a93e|5|1|0|1767323045.060000000|2026-01-02T03:04:05+0000|%\t\n\\y"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := checkFormat(tt.flags.format); err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			w := bufio.NewWriter(&b)
			if err := tt.flags.printer(&b).print(w, tt.msg, at); err != nil {
				t.Fatal(err)
			}
			w.Flush()
			if b.String() != tt.want {
				t.Errorf("printed\n%s\nwant\n%s", b.String(), tt.want)
			}
		})
	}
}
