package producer

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// PlainFrom is SASL PLAIN with credentials that are asked for at every connect, so
// that a password can be rotated under a running producer: connections that are
// open stay so, the next ones use the new password, and a write that meets the old
// one on its way tries again until its DeliveryTimeout: see Config.SASL for how soon.
//
// ask is called concurrently, and holds up the connect that it is called for. Its
// context ends with that (after Config.DialTimeout at the latest) and when the
// producer is stopped by force: it must return soon after. If it fails, so does the
// connect, with its error; that should tell no secret.
func PlainFrom(ask func(context.Context) (user, password string, err error)) sasl.Mechanism {
	return &asked{name: "PLAIN", ask: ask, with: func(user, password string) (sasl.Mechanism, error) {
		return plain.Mechanism{Username: user, Password: password}, nil
	}}
}

// ScramFrom is PlainFrom for SASL SCRAM: the algorithm is scram.SHA256 or
// scram.SHA512 of github.com/segmentio/kafka-go/sasl/scram.
func ScramFrom(algorithm scram.Algorithm, ask func(context.Context) (user, password string, err error)) sasl.Mechanism {
	if algorithm == nil {
		return &asked{} // New refuses it
	}
	return &asked{name: algorithm.Name(), ask: ask, with: func(user, password string) (sasl.Mechanism, error) {
		return scram.Mechanism(algorithm, user, password)
	}}
}

// asked is a mechanism that is made anew for each connect. It holds no secret.
type asked struct {
	name string
	ask  func(context.Context) (user, password string, err error)
	with func(user, password string) (sasl.Mechanism, error)
}

func (a *asked) Name() string { return a.name }

func (a *asked) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	user, password, err := a.ask(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("ask for the credentials: %w", err)
	}
	m, err := a.with(user, password)
	if err != nil {
		// It would quote what it does not like about them.
		return nil, nil, errors.New("the user or the password is not fit for " + a.name)
	}
	return m.Start(ctx)
}

// sealed is the user's mechanism as a Producer keeps it: fmt prints what unexported
// fields hold, past every method, but no more of a function than where it is.
type sealed func() sasl.Mechanism

func (s sealed) Name() string { return s().Name() }

func (s sealed) Start(ctx context.Context) (sasl.StateMachine, []byte, error) { return s().Start(ctx) }
