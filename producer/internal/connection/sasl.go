package connection

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
)

// Refused reports whether a broker refused the login: the credentials are wrong, or not yet known
// to it.
func Refused(err error) bool { return errors.Is(err, kafka.SASLAuthenticationFailed) }

// RefusedPause is the pause after the n-th refused login in a row. It doubles from 10 ms to 8 s:
// wrong credentials neither flood the brokers nor lock the account, and corrected ones are used
// soon.
func RefusedPause(n int) time.Duration { return Pause(n, 10*time.Millisecond, 8*time.Second) }

// Pause is the pause after the n-th failure in a row. It doubles from the first to the longest,
// which is at most a thousand times the first.
func Pause(n int, first, longest time.Duration) time.Duration {
	return min(first<<min(n-1, 10), longest)
}

// lifetimeOf is how long a session lasts. A token that never expires has more milliseconds than a
// Duration has nanoseconds.
func lifetimeOf(ms int64) time.Duration {
	return time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
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
		if lifetime := lifetimeOf(a.SessionLifetimeMs); lifetime > 0 {
			c.renew, c.expires = began.Add(lifetime-lifetime/10), began.Add(lifetime)
		}
		if done, state, err = session.Next(ctx, a.AuthBytes); err != nil {
			return fmt.Errorf("SASL mechanism %s: %w", mechanism.Name(), err)
		}
	}
	return nil
}
