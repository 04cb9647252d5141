package connection

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
)

// Refused reports whether a broker has refused the login: the credentials are wrong, or the broker
// does not know them yet.
func Refused(err error) bool { return errors.Is(err, kafka.SASLAuthenticationFailed) }

// RefusedPause is the pause after the n-th refused login in a row: it doubles, from 10 ms to 8 s, so
// that wrong credentials do not flood the brokers, nor lock the account, for as long as a producer
// runs, and right ones are found soon.
func RefusedPause(n int) time.Duration { return Pause(n, 10*time.Millisecond, 8*time.Second) }

// Pause is the pause after the n-th failure in a row: it doubles from the first to the longest, which is
// no longer than a thousand times the first.
func Pause(n int, first, longest time.Duration) time.Duration {
	return min(first<<min(n-1, 10), longest)
}

// authenticate logs in.
func (c *Conn) authenticate(ctx context.Context, mechanism sasl.Mechanism) (err error) {
	defer recovered("the SASL mechanism", &err)
	res, err := c.RoundTrip(&saslhandshake.Request{Mechanism: mechanism.Name()}, 0)
	if err != nil {
		return fmt.Errorf("SASL handshake: %w (see Config.SASL)", err)
	}
	switch h := res.(*saslhandshake.Response); kafka.Error(h.ErrorCode) {
	case 0:
	case kafka.IllegalSASLState:
		return fmt.Errorf("SASL mechanism %s: %w: the broker wants no login at this port (see Config.SASL)", mechanism.Name(), kafka.IllegalSASLState)
	default:
		return fmt.Errorf("SASL mechanism %s: %w (the broker offers %v; see Config.SASL)", mechanism.Name(), kafka.Error(h.ErrorCode), h.Mechanisms)
	}
	host, port, _ := net.SplitHostPort(c.peer.address)
	number, _ := strconv.Atoi(port)
	ctx = sasl.WithMetadata(ctx, &sasl.Metadata{Host: host, Port: number})
	session, state, err := mechanism.Start(ctx)
	if err != nil {
		return fmt.Errorf("SASL mechanism %s: %w", mechanism.Name(), err)
	}
	for done := false; !done; {
		began := time.Now()
		res, err := c.RoundTrip(&saslauthenticate.Request{AuthBytes: state}, 0)
		if err != nil {
			return fmt.Errorf("SASL login: %w (see Config.SASL)", err)
		}
		a := res.(*saslauthenticate.Response)
		if a.ErrorCode != 0 {
			return fmt.Errorf("SASL login: %w: %s (see Config.SASL)", kafka.Error(a.ErrorCode), a.ErrorMessage)
		}
		if lifetime := time.Duration(a.SessionLifetimeMs) * time.Millisecond; lifetime > 0 {
			c.expires = began.Add(lifetime - lifetime/10)
		}
		if done, state, err = session.Next(ctx, a.AuthBytes); err != nil {
			return fmt.Errorf("SASL mechanism %s: %w", mechanism.Name(), err)
		}
	}
	return nil
}
