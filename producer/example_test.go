package producer_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/producer"
	"github.com/seed3893aba4/surestart/resilience"
)

func Example() {
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "orders"))
	defer cluster.Close()

	p, err := producer.New(producer.Config{Brokers: cluster.ListenAddrs(), Topic: "orders"})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close() // drains, for at most Config.StopTimeout

	ctx := context.Background()
	if err := p.Start(ctx); err != nil { // from anywhere, any number of times
		log.Fatal(err)
	}
	if err := p.WriteMessages(ctx, kafka.Message{Key: []byte("42"), Value: []byte("paid")}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.State(), p.Totals().Messages)
	fmt.Println(p.Stop(ctx), p.State())
	// Output:
	// Started 1
	// <nil> Idle
}

// To send without waiting for each verdict, and to learn it all the same.
func ExampleProducer_Send() {
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	defer cluster.Close()
	p, err := producer.New(producer.Config{Brokers: cluster.ListenAddrs(), Topic: "orders", StartOnWrite: true})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close() // drains what was sent

	ctx := context.Background()
	var sent []*producer.Delivery
	for _, text := range []string{"placed", "paid", "shipped"} {
		d, err := p.Send(ctx, kafka.Message{Key: []byte("42"), Value: []byte(text)})
		if err != nil {
			log.Fatal(err) // not let in: not started, no room before ctx ended, ...
		}
		sent = append(sent, d)
	}
	for _, d := range sent {
		err := d.Wait(ctx)
		_, offset := d.Position(0)
		fmt.Println(err, offset)
	}
	// Output:
	// <nil> 0
	// <nil> 1
	// <nil> 2
}

// A start waits for a cluster that is not there yet. If the cluster stays away, this caller and all
// others learn it at once.
func ExampleConfig_retry() {
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	defer cluster.Close()
	var refusals atomic.Int64
	refusals.Store(2)
	p, err := producer.New(producer.Config{
		Brokers: cluster.ListenAddrs(), Topic: "orders",
		Retry:   resilience.NewRetry(resilience.RetryConfig{}), // within the StartTimeout, of what is Temporary
		Breaker: resilience.NewBreaker(resilience.BreakerConfig{Failures: 3, CoolDown: 30 * time.Second}),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if refusals.Add(-1) >= 0 {
				return nil, syscall.ECONNREFUSED
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	fmt.Println(p.Start(context.Background()), "attempt", p.Status().Attempt)
	// Output: <nil> attempt 1
}

// What became of each message of a write that failed.
func ExampleWriteError() {
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	defer cluster.Close()
	p, err := producer.New(producer.Config{
		Brokers: cluster.ListenAddrs(), Topic: "orders", BatchBytes: 100, StartOnWrite: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()

	err = p.WriteMessages(context.Background(),
		kafka.Message{Value: []byte("small")},
		kafka.Message{Value: make([]byte, 1000)})
	var each kafka.WriteErrors
	if errors.As(err, &each) {
		for i, err := range each {
			switch {
			case err == nil:
				fmt.Println(i, "delivered")
			case errors.Is(err, producer.ErrRejected):
				fmt.Println(i, "refused; the same again will be too:", errors.Is(err, kafka.MessageSizeTooLarge))
			case errors.Is(err, producer.ErrNotSent):
				fmt.Println(i, "not sent; send it again")
			case errors.Is(err, producer.ErrMaybeDelivered):
				fmt.Println(i, "maybe delivered; sending it again may duplicate it")
			}
		}
	}
	// Output:
	// 0 delivered
	// 1 refused; the same again will be too: true
}

// Two components share one producer: the first that is done does not stop it for the other.
func ExampleProducer_Hold() {
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	defer cluster.Close()
	p, err := producer.New(producer.Config{Brokers: cluster.ListenAddrs(), Topic: "orders"})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	ctx := context.Background()
	_, releaseFirst, err := p.Hold(ctx)
	if err != nil {
		log.Fatal(err)
	}
	_, releaseSecond, err := p.Hold(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(releaseFirst(ctx), p.State())
	fmt.Println(p.WriteMessages(ctx, kafka.Message{Value: []byte("paid")}))
	fmt.Println(releaseSecond(ctx), p.State())
	// Output:
	// <nil> Started
	// <nil>
	// <nil> Idle
}

// What there is to ask a producer, and to wait for.
func ExampleProducer_Status() {
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	defer cluster.Close()
	p, err := producer.New(producer.Config{Brokers: cluster.ListenAddrs(), Topic: "orders", Acks: producer.AcksAll})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	err = p.WriteMessages(ctx, kafka.Message{Value: []byte("too early")})
	fmt.Println(errors.Is(err, producer.ErrNotStarted), errors.Is(err, producer.ErrNotSent))

	if err := p.Start(ctx); err != nil {
		log.Fatal(err)
	}
	var state producer.State = p.Status().State
	fmt.Println(state, p.Ping(ctx)) // could it send now? Package health answers probes with that
	if err := p.WriteMessages(ctx, kafka.Message{Value: []byte("paid")}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Stats().Messages, p.Stats().Messages, p.Totals().Messages) // Stats: since the last call

	fmt.Println(p.Shutdown(ctx))                      // for good; Close is Shutdown with a bound of its own
	fmt.Println(p.InFlightBytes(), "bytes in flight") // of messages without a verdict
	<-p.Done()
	p.FlushObservers(ctx) // those of Config.Lifecycle: loggers, collectors
	reached, err := p.Wait(ctx, fsm.Started)
	fmt.Println(reached, errors.Is(err, producer.ErrClosed))
	// Output:
	// true true
	// Started <nil>
	// 1 0 1
	// <nil>
	// 0 bytes in flight
	// Closed true
}

// The verdicts of the messages of one Send, without waiting for it.
func ExampleDelivery_Done() {
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	defer cluster.Close()
	p, err := producer.New(producer.Config{Brokers: cluster.ListenAddrs(), Topic: "orders", StartOnWrite: true})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	var d *producer.Delivery
	if d, err = p.Send(context.Background(), kafka.Message{Value: []byte("paid")}); err != nil {
		log.Fatal(err)
	}
	<-d.Done() // in a select, beside what else there is
	fmt.Println(d.Err(), d.Wait(context.Background()))
	// Output: <nil> <nil>
}

// The error of a Start names what is wrong, and whether another try may help.
func ExampleTemporary() {
	cluster := kfake.MustCluster(kfake.NumBrokers(1))
	defer cluster.Close()
	p, err := producer.New(producer.Config{Brokers: cluster.ListenAddrs(), Topic: "ordres"})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	err = p.Start(context.Background())
	var topic *producer.TopicError
	if errors.As(err, &topic) {
		fmt.Println(topic.Topic, errors.Is(err, kafka.UnknownTopicOrPartition), "again:", producer.Temporary(err))
	}
	// A Ping that is this one only is no failure: the others can be written to.
	fmt.Println(errors.Is(err, producer.ErrPartial))
	// Output:
	// ordres true again: true
	// false
}

// A port where something else answers: the error says what, and what to look at.
func ExampleNotKafkaError() {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	p, err := producer.New(producer.Config{Brokers: []string{web.Listener.Addr().String()}, Topic: "orders"})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	err = p.Start(context.Background())
	var other *producer.NotKafkaError
	if errors.As(err, &other) {
		fmt.Printf("%s: see Config.%s. Again: %t\n", other.Looks, other.Field, producer.Temporary(err))
	}
	// Output: HTTP: see Config.Brokers. Again: false
}

// A password that is fetched at every connect can be changed under a running producer. No Config
// prints it.
func ExamplePlainFrom() {
	ask := func(context.Context) (user, password string, err error) {
		return "orders", "from a file that may change", nil
	}
	for _, mechanism := range []sasl.Mechanism{producer.PlainFrom(ask), producer.ScramFrom(scram.SHA512, ask)} {
		_, err := producer.New(producer.Config{
			Brokers: []string{"kafka.example.com:9093"}, Topic: "orders", TLS: new(tls.Config), SASL: mechanism,
		})
		fmt.Println(mechanism.Name(), err)
	}
	// Output:
	// PLAIN <nil>
	// SCRAM-SHA-512 <nil>
}

// A stop whose patience ends says how many messages it cost.
func ExampleStopError() {
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	defer cluster.Close()
	hangs := make(chan struct{}, 1)
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		hangs <- struct{}{}
		return nil, nil, true // the broker never answers
	})
	p, err := producer.New(producer.Config{Brokers: cluster.ListenAddrs(), Topic: "orders", StartOnWrite: true})
	if err != nil {
		log.Fatal(err)
	}
	d, err := p.Send(context.Background(), kafka.Message{Value: []byte("paid")})
	if err != nil {
		log.Fatal(err)
	}
	<-hangs
	now, cancel := context.WithCancel(context.Background())
	cancel()
	var cut *producer.StopError
	if err := p.Shutdown(now); errors.As(err, &cut) {
		fmt.Println("messages cut off:", cut.Messages, "not sent:", cut.NotSent, "maybe delivered:", cut.Maybe)
	}
	<-d.Done()
	fmt.Println(errors.Is(d.Err(), producer.ErrMaybeDelivered))
	// Output:
	// messages cut off: 1 not sent: 0 maybe delivered: 1
	// true
}

// Beyond sending, a producer can send lingering messages at once, and count the verdicts.
func ExampleProducer_Flush() {
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	defer cluster.Close()
	p, err := producer.New(producer.Config{Brokers: cluster.ListenAddrs(), Topic: "orders", Linger: 10 * time.Second, StartOnWrite: true})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	ctx := context.Background()
	for _, text := range []string{"placed", "paid"} {
		if _, err := p.Send(ctx, kafka.Message{Value: []byte(text)}); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(p.Flush(ctx)) // each of them has its verdict
	var c producer.Counters = p.Counters()
	fmt.Println(c.Admitted, "admitted,", c.Delivered, "delivered,", c.Maybe, "in doubt")
	// Output:
	// <nil>
	// 2 admitted, 2 delivered, 0 in doubt
}

// A cluster that gives this user no producer id: before Kafka 3.0 that needs the permission
// IdempotentWrite. The program may go on without idempotence, or ask for the permission.
func ExampleIdempotence() {
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	defer cluster.Close()
	cluster.ControlKey(int16(kmsg.InitProducerID), func(r kmsg.Request) (kmsg.Response, error, bool) {
		res := r.ResponseKind().(*kmsg.InitProducerIDResponse)
		res.ErrorCode = 31 // CLUSTER_AUTHORIZATION_FAILED
		return res, nil, true
	})
	config := producer.Config{Brokers: cluster.ListenAddrs(), Topic: "orders", Idempotence: producer.IdempotenceAuto} // the default
	p, err := producer.New(config)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	err = p.Start(ctx)
	fmt.Println(errors.Is(err, producer.ErrNoIdempotence), errors.Is(err, kafka.ClusterAuthorizationFailed), producer.Temporary(err))

	config.Idempotence = producer.IdempotenceOff // messages may be there twice, and out of order
	if p, err = producer.New(config); err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	fmt.Println(p.Start(ctx))
	// Output:
	// true true false
	// <nil>
}
