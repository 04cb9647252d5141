// Command schema sends payloads in the wire format that Confluent's clients read: a
// zero byte, the schema's id in four bytes, most significant first, then the value.
//
// The id is the registry's, so a service that cannot reach the registry, or whose
// schema it refuses, must not begin to send. Here the schema and the producer are two
// parts of one resource: Started means that both are there (G3), and a registry that
// refuses takes the producer down again before Start returns (G4).
//
//	go run ./schema -brokers localhost:9092 -topic orders -registry http://localhost:8081
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/producer"
)

// An Order is the payload of a message.
type Order struct {
	ID    string `json:"id"`
	Cents int    `json:"cents"`
}

const orderSchema = `{"$schema":"http://json-schema.org/draft-07/schema#","title":"Order","type":"object",` +
	`"properties":{"id":{"type":"string"},"cents":{"type":"integer"}},"required":["id","cents"]}`

// A sender sends orders under the id of their schema.
type sender struct {
	producer *producer.Producer
	serde    *sr.Serde
}

// service returns a sender that is started once, however many ask.
func service(config producer.Config, registry string, opts ...fsm.Option) *fsm.Lifecycle[*sender] {
	return fsm.New(func(ctx context.Context, s *fsm.Scope) (*sender, error) {
		s.Part("producer")
		p, err := producer.New(config)
		if err != nil {
			return nil, err
		}
		if err := p.Start(ctx); err != nil {
			return nil, err
		}
		s.Defer("producer", func(ctx context.Context) error {
			if fsm.Forced(ctx) { // then its own drain is cut short, too
				var now context.CancelFunc
				ctx, now = context.WithCancel(ctx)
				now()
			}
			return p.Shutdown(ctx)
		})

		s.Part("schema")
		client := &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
		s.Defer("registry", func(context.Context) error {
			client.CloseIdleConnections()
			return nil
		})
		id, err := register(ctx, client, registry, config.Topic)
		if err != nil {
			return nil, err
		}
		serde := sr.NewSerde() // its header is Confluent's
		serde.Register(id, Order{}, sr.EncodeFn(json.Marshal), sr.DecodeFn(json.Unmarshal))
		return &sender{p, serde}, nil
	}, opts...)
}

// register returns the id of the schema of the topic's values: a new one, or that
// which it has already.
func register(ctx context.Context, client *http.Client, registry, topic string) (int, error) {
	cl, err := sr.NewClient(sr.URLs(registry), sr.HTTPClient(client))
	if err != nil {
		return 0, err
	}
	return cl.RegisterSchema(ctx, topic+"-value", sr.Schema{Schema: orderSchema, Type: sr.TypeJSON}, -1, -1)
}

func send(ctx context.Context, l *fsm.Lifecycle[*sender], order Order) error {
	return l.Use(ctx, func(ctx context.Context, s *sender) error {
		value, err := s.serde.Encode(order)
		if err != nil {
			return err
		}
		return s.producer.WriteMessages(ctx, kafka.Message{Key: []byte(order.ID), Value: value})
	})
}

func main() {
	brokers := flag.String("brokers", "localhost:9092", "host:port, separated by commas")
	topic := flag.String("topic", "orders", "send to")
	registry := flag.String("registry", "http://localhost:8081", "the schema registry")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	config := producer.Config{Brokers: strings.Split(*brokers, ","), Topic: *topic}
	if err := run(ctx, config, *registry); err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, config producer.Config, registry string) (err error) {
	orders := service(config, registry, fsm.WithStartTimeout(30*time.Second))
	defer func() { err = errors.Join(err, orders.Close()) }()
	if err := orders.Start(ctx); err != nil {
		return err
	}
	return send(ctx, orders, Order{ID: "42", Cents: 1999})
}
