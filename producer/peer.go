package producer

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
)

// NotKafkaError is an address where something answers that does not speak Kafka's
// protocol as Config says: mostly a wrong port, or one with TLS for one without. A Start
// that meets it at every address of Config.Brokers ends with it at once, and Temporary is
// false. While the producer runs, a write is tried again until its DeliveryTimeout.
type NotKafkaError struct {
	Address string // host:port
	Looks   string // the protocol that the answer looks like: HTTP, TLS or SSH; empty: none of these
	Field   string // what to look at: Brokers or TLS, of Config; empty: the address that the cluster gave out (advertised.listeners)
	Err     error  // what is wrong with the answer
}

// Error names the address, what is wrong with its answer, and what to change.
func (e *NotKafkaError) Error() string {
	looks := "not as Kafka does"
	if e.Looks != "" {
		looks = "as " + e.Looks + " does, not as Kafka does"
	}
	change := "the cluster gave out this address: see its advertised.listeners"
	switch {
	case e.Field == "Brokers":
		change = "see the port in Config.Brokers"
	case e.Field == "TLS" && e.Looks == "TLS":
		change = "set Config.TLS, or name a port without TLS in Config.Brokers"
	case e.Field == "TLS":
		change = "leave Config.TLS out, or name a port with TLS in Config.Brokers"
	}
	return fmt.Sprintf("%s answers %s: %v: %s", e.Address, looks, e.Err, change)
}

// Unwrap returns Err.
func (e *NotKafkaError) Unwrap() error { return e.Err }

// A peer is what is known of the other end of a connection.
type peer struct {
	address string
	named   bool // in Config.Brokers; else the cluster gave it out
	tls     bool // the connection is encrypted
}

// notKafka makes the error of an answer that begins with these bytes, or of a later one.
func (p peer) notKafka(begins []byte, why error) error {
	e := &NotKafkaError{Address: p.address, Err: why}
	if p.named {
		e.Field = "Brokers"
	}
	switch {
	case bytes.HasPrefix(begins, []byte("HTTP")), len(begins) >= 8 && bytes.Equal(begins[3:8], http2Settings):
		e.Looks = "HTTP"
	case bytes.HasPrefix(begins, []byte("SSH-")):
		e.Looks = "SSH"
	case !p.tls && len(begins) >= 3 && begins[0] == recordAlert && begins[1] == 3 && begins[2] <= 4:
		e.Looks, e.Field = "TLS", "TLS"
	}
	return e
}

// recordAlert is the type of the TLS record that a server refuses a client with that
// speaks no TLS. The version follows (RFC 8446, 5.1).
const recordAlert = 0x15

// http2Settings is how an HTTP/2 server begins, after a length of three bytes: a frame of
// settings without flags, for the connection (RFC 9113, 4.1).
var http2Settings = []byte{4, 0, 0, 0, 0}

// handshakeFailed is why a TLS handshake failed, with what that says of the peer.
func (p peer) handshakeFailed(err error) error {
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &header):
		e := p.notKafka(header.RecordHeader[:], err).(*NotKafkaError)
		if e.Looks == "" {
			e.Field = "TLS"
		}
		return e
	case hungUp(err): // Kafka without TLS takes the handshake for a request that is too large
		return fmt.Errorf("TLS handshake with %s: %w: a broker without TLS ends it like this (see Config.TLS)", p.address, err)
	}
	return err
}

// noAnswer is why there was no answer to the first request, with what that says of the
// peer. A broker that is just going down does the same.
func (p peer) noAnswer(err error) error {
	if p.tls || !hungUp(err) {
		return err
	}
	if errors.Is(err, io.EOF) { // kafka-go would make another error of it
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %s ended the connection without an answer, as one that wants TLS does (see Config.TLS)", err, p.address)
}

// addressErrors are why none of the addresses in Config.Brokers led to a broker, for
// several of them.
type addressErrors []error

// Error says why, address by address.
func (e addressErrors) Error() string {
	var b bytes.Buffer
	for i, err := range e {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(err.Error())
	}
	return b.String()
}

// Unwrap returns them all.
func (e addressErrors) Unwrap() []error { return e }

// temporary reports whether one of the addresses may lead to a broker later.
func (e addressErrors) temporary() bool { return slices.ContainsFunc(e, retryable) }
