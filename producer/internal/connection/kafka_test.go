//go:build unix

package connection

import (
	"errors"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// Apache Kafka admits a user with the right password, and reports a wrong one.
func TestApacheKafkaLogin(t *testing.T) {
	c := testbroker.Own(t, 1)
	right, err := scram.Mechanism(scram.SHA512, "alice", "alice-secret")
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := scram.Mechanism(scram.SHA512, "alice", "bob-secret")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		mechanism sasl.Mechanism
		want      error
	}{
		"plain":       {plain.Mechanism{Username: "alice", Password: "alice-secret"}, nil},
		"scram":       {right, nil},
		"plain wrong": {plain.Mechanism{Username: "alice", Password: "wrong"}, kafka.SASLAuthenticationFailed},
		"scram wrong": {wrong, kafka.SASLAuthenticationFailed},
	} {
		cfg := Config{SASL: test.mechanism, Timeout: 10 * time.Second}
		conn, err := Open(t.Context(), &cfg, c.SASL[0], true)
		if errors.Is(err, kafka.UnsupportedSASLMechanism) {
			t.Logf("%s: %v", name, err)
			continue
		}
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if err != nil {
			continue
		}
		if _, err := conn.RoundTrip(&metadata.Request{}, time.Minute); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		conn.Close()
		<-conn.Done()
	}
}
