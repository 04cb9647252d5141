package connection

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"syscall"
)

// A NotKafkaError reports that the answer at an address is not Kafka's protocol as configured.
// Usual causes are a wrong port, and TLS on one side only.
type NotKafkaError struct {
	Address string // host:port
	Looks   string // the protocol that the answer resembles: HTTP, TLS, SSH or empty
	Field   string // the field of Config to check: Brokers or TLS; empty: the cluster advertised the address
	Err     error  // what is wrong with the answer
}

// Error names the address, the fault of the answer, and what to change.
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

// A peer collects what is known of the other end of a connection.
type peer struct {
	address string
	named   bool // in the configuration; else the cluster advertised it
	tls     bool // the connection is encrypted
	login   bool // the client logs in
}

// notKafka returns the error for an answer that begins with these bytes.
func (p peer) notKafka(begins []byte, why error) *NotKafkaError {
	e := &NotKafkaError{Address: p.address, Err: why}
	if p.named {
		e.Field = "Brokers"
	}
	switch {
	case bytes.HasPrefix(begins, []byte("HTTP")), len(begins) >= 8 && bytes.Equal(begins[3:8], http2Settings):
		e.Looks = "HTTP"
	case bytes.HasPrefix(begins, []byte("SSH-")):
		e.Looks = "SSH"
	case !p.tls && len(begins) >= 3 && begins[0] == tlsAlert && begins[1] == 3 && begins[2] <= 4:
		e.Looks, e.Field = "TLS", "TLS"
	}
	return e
}

// tlsAlert is the type of the TLS record with which a server refuses a client without TLS. The
// version follows (RFC 8446, 5.1).
const tlsAlert = 0x15

// http2Settings is how an HTTP/2 server begins, after a length of three bytes: a frame of settings
// without flags, for the connection (RFC 9113, 4.1).
var http2Settings = []byte{4, 0, 0, 0, 0}

// handshakeFailed adds to the error of a TLS handshake what the error reveals about the peer.
func (p peer) handshakeFailed(err error) error {
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &header):
		e := p.notKafka(header.RecordHeader[:], err)
		if e.Looks == "" {
			e.Field = "TLS"
		}
		return e
	case hungUp(err): // Kafka without TLS takes the handshake for a request that is too large
		return fmt.Errorf("TLS handshake with %s: %w: a broker without TLS ends it like this (see Config.TLS)", p.address, unexpected(err))
	}
	return fmt.Errorf("TLS handshake with %s: %w", p.address, err)
}

// noAnswer adds a hint to the error of a connection that ended before the first answer. A broker
// that shuts down behaves the same.
func (p peer) noAnswer(err error) error {
	if p.tls || !hungUp(err) {
		return err
	}
	return fmt.Errorf("%w: %s ended the connection without an answer, as a broker that wants TLS does (see Config.TLS)", unexpected(err), p.address)
}

// noSecond adds a hint to the error of a connection that ended at the first request after the API
// versions, which had size bytes. A broker that shuts down behaves the same.
func (p peer) noSecond(err error, size int) error {
	switch {
	case !hungUp(err):
	case size > flatRequest:
		return fmt.Errorf("%w: %s ended the connection at a request of %d bytes, as a broker that accepts only smaller requests does (see Config.BatchBytes)", unexpected(err), p.address, size)
	case !p.login:
		return fmt.Errorf("%w: %s ended the connection at the first request, as a broker that wants a login does (see Config.SASL)", unexpected(err), p.address)
	}
	return unexpected(err)
}

// unexpected turns io.EOF into io.ErrUnexpectedEOF: no end of a connection is orderly.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// hungUp reports whether the peer ended the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}
