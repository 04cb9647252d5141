package producer

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/producer/internal/connection"
)

// validate returns one error with a line for each wrong field: its name, its value, and the values
// that are valid.
func (c *Config) validate() error {
	var bad []error
	refuse := func(field string, value any, want string) {
		bad = append(bad, fmt.Errorf("producer: Config.%s is %v: want %s", field, value, want))
	}

	if len(c.Brokers) == 0 {
		refuse("Brokers", "empty", "at least one host:port")
	}
	for i, b := range c.Brokers {
		if err := checkAddress(b); err != nil {
			refuse(fmt.Sprintf("Brokers[%d]", i), strconv.Quote(b), fmt.Sprintf("host:port (%v)", err))
		}
	}
	if len(c.ClientID) > math.MaxInt16 || !utf8.ValidString(c.ClientID) {
		refuse("ClientID", fmt.Sprintf("%.40q", c.ClientID), "valid UTF-8 of at most 32767 bytes")
	}
	c.validateTopics(refuse)
	c.validateSecurity(refuse)

	if c.Acks < AcksAll || c.Acks > AcksNone {
		refuse("Acks", c.Acks, "AcksAll, AcksOne or AcksNone")
	}
	switch {
	case c.Idempotence < IdempotenceAuto || c.Idempotence > IdempotenceOff:
		refuse("Idempotence", c.Idempotence, "IdempotenceAuto, IdempotenceOn or IdempotenceOff")
	case c.Idempotence == IdempotenceOn && c.Acks != AcksAll:
		refuse("Idempotence", c.Idempotence, "IdempotenceAuto or IdempotenceOff with Acks "+c.Acks.String()+", or AcksAll")
	}
	for _, n := range []struct {
		field      string
		value, max int64
	}{
		{"BatchSize", int64(c.BatchSize), math.MaxInt32},
		{"BatchBytes", c.BatchBytes, math.MaxInt32}, // as the protocol's sizes
		{"MaxInFlightBytes", c.MaxInFlightBytes, math.MaxInt64},
		{"MaxAttempts", int64(c.MaxAttempts), math.MaxInt32},
		{"ConnectionsPerBroker", int64(c.ConnectionsPerBroker), 100},
	} {
		if n.value < 0 || n.value > n.max {
			refuse(n.field, n.value, fmt.Sprintf("0 (the default) to %d", n.max))
		}
	}
	if c.Compression < 0 || c.Compression > kafka.Zstd {
		refuse("Compression", int8(c.Compression), "0 (none), kafka.Gzip, kafka.Snappy, kafka.Lz4 or kafka.Zstd")
	}
	c.validateTimes(refuse)

	for _, n := range []struct {
		field string
		value any
	}{{"SASL", c.SASL}, {"Balancer", c.Balancer}, {"Retry", c.Retry}, {"Breaker", c.Breaker}} {
		if v := reflect.ValueOf(n.value); v.IsValid() && v.Kind() == reflect.Pointer && v.IsNil() {
			refuse(n.field, fmt.Sprintf("a nil %T", n.value), "a usable one, or plain nil")
		}
	}
	if a, ok := c.SASL.(*asked); ok && a != nil && a.ask == nil {
		refuse("SASL", "without a function, or an algorithm", "PlainFrom(ask) or ScramFrom(algorithm, ask), neither nil")
	}
	for i, opt := range c.Lifecycle {
		if opt == nil {
			refuse(fmt.Sprintf("Lifecycle[%d]", i), "nil", "an fsm.Option")
		}
	}
	return errors.Join(bad...)
}

func (c *Config) validateTimes(refuse func(string, any, string)) {
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"DialTimeout", c.DialTimeout}, {"ReadTimeout", c.ReadTimeout}, {"WriteTimeout", c.WriteTimeout},
		{"DeliveryTimeout", c.DeliveryTimeout}, {"IdleTimeout", c.IdleTimeout},
		{"StartTimeout", c.StartTimeout}, {"StopTimeout", c.StopTimeout},
	} {
		// No timeout is that short: DialTimeout: 10 probably means 10 seconds.
		if d.value < 0 || d.value > 0 && d.value < time.Millisecond {
			refuse(d.field, d.value, "0 (the default) or at least 1ms, such as 10*time.Second")
		}
	}
	switch delivery := c.withDefaults().DeliveryTimeout; {
	case c.Linger < 0:
		refuse("Linger", c.Linger, "0 (the default) or more")
	case delivery > 0 && c.Linger >= delivery:
		refuse("Linger", c.Linger, fmt.Sprintf("less than the DeliveryTimeout, %v", delivery))
	}
}

func (c *Config) validateTopics(refuse func(string, any, string)) {
	if c.Topic == "" && len(c.Topics) == 0 && !c.AnyTopic {
		refuse("Topic", "empty", "a topic there, in Topics, or AnyTopic")
	}
	const legal = "1 to 249 of the characters a-z A-Z 0-9 . _ -, and neither . nor .."
	if c.Topic != "" && !legalTopic(c.Topic) {
		refuse("Topic", fmt.Sprintf("%.260q", c.Topic), legal)
	}
	for i, t := range c.Topics {
		if !legalTopic(t) {
			refuse(fmt.Sprintf("Topics[%d]", i), fmt.Sprintf("%.260q", t), legal)
		}
	}
}

func (c *Config) validateSecurity(refuse func(string, any, string)) {
	if c.TLS != nil && c.TLS.MinVersion != 0 && c.TLS.MinVersion < tls.VersionTLS12 {
		refuse("TLS", "allowing "+tls.VersionName(c.TLS.MinVersion), "MinVersion 0 or at least tls.VersionTLS12")
	}
	if c.TLS != nil && c.TLS.MaxVersion != 0 && c.TLS.MaxVersion < tls.VersionTLS12 {
		refuse("TLS", "limited to "+tls.VersionName(c.TLS.MaxVersion), "MaxVersion 0 or at least tls.VersionTLS12")
	}
	if c.plaintextPassword() {
		for _, b := range c.Brokers {
			if !connection.IsLocal(b) {
				refuse("SASL", c.SASL.Name()+" without TLS, to "+b,
					"TLS, or AllowPlaintextPassword if the password may be read on the way")
				break
			}
		}
	}
}

// plaintextPassword reports whether a connection to another machine would send the password in
// plain text.
func (c *Config) plaintextPassword() bool {
	if c.SASL == nil || c.TLS != nil || c.AllowPlaintextPassword {
		return false
	}
	if v := reflect.ValueOf(c.SASL); v.Kind() == reflect.Pointer && v.IsNil() {
		return false // refused elsewhere
	}
	name := c.SASL.Name()
	return name == "PLAIN" || name == "OAUTHBEARER"
}

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return shortAddrError(err)
	}
	switch n, err := strconv.Atoi(port); {
	case err != nil:
		return fmt.Errorf("the port %q is not a number", port)
	case n < 1 || n > 65535:
		return fmt.Errorf("the port %d is not within 1 to 65535", n)
	case host == "":
		return errors.New("the host is empty")
	case strings.ContainsAny(host, " \t\r\n,/"):
		return errors.New("the host has a space, a comma or a slash")
	}
	return nil
}

// shortAddrError drops the address, which the caller's error already has.
func shortAddrError(err error) error {
	if e, ok := err.(*net.AddrError); ok {
		return errors.New(e.Err)
	}
	return err
}

func legalTopic(t string) bool {
	if len(t) < 1 || len(t) > 249 || t == "." || t == ".." {
		return false
	}
	for _, r := range t {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-') {
			return false
		}
	}
	return true
}
