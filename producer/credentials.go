package producer

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// PlainFrom returns SASL PLAIN with credentials that ask fetches at every connect, so that a
// password can be rotated while the producer runs. Open connections stay open, and new ones use
// the new password. If a login with an old password is refused, the producer asks and logs in
// again, as Config.SASL describes; messages wait for that until their DeliveryTimeout.
//
// ask may be called concurrently, and delays only its own connect. Its context ends with that
// connect, after Config.DialTimeout at the latest, and with a forced stop. ask must return soon
// after that. If ask fails, the connect fails with its error, which should not contain a secret.
func PlainFrom(ask func(context.Context) (user, password string, err error)) sasl.Mechanism {
	return &asked{name: "PLAIN", ask: ask, with: func(user, password string) (sasl.Mechanism, error) {
		return plain.Mechanism{Username: user, Password: password}, nil
	}}
}

// ScramFrom is PlainFrom for SASL SCRAM. The algorithm is scram.SHA256 or scram.SHA512 of
// github.com/segmentio/kafka-go/sasl/scram.
func ScramFrom(algorithm scram.Algorithm, ask func(context.Context) (user, password string, err error)) sasl.Mechanism {
	if algorithm == nil {
		return &asked{} // New refuses it
	}
	return &asked{name: algorithm.Name(), ask: ask, with: func(user, password string) (sasl.Mechanism, error) {
		return scram.Mechanism(algorithm, user, password)
	}}
}

// asked is a mechanism that fetches its credentials for each connect. It holds no secret.
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
		// The text of err may quote the credentials.
		return nil, nil, errors.New("the user or the password is not fit for " + a.name)
	}
	return m.Start(ctx)
}

// sealed holds the user's mechanism in a Producer. fmt prints unexported fields without calling
// their methods, but prints only the address of a function.
type sealed func() sasl.Mechanism

func (s sealed) Name() string { return s().Name() }

func (s sealed) Start(ctx context.Context) (sasl.StateMachine, []byte, error) { return s().Start(ctx) }
