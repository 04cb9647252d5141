package sender

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"

	"github.com/seed3893aba4/surestart/producer/internal/connection"
)

// A Directory knows where brokers are.
type Directory interface {
	// Address returns where a broker is.
	Address(broker int32) (address string, ok bool)
	// Refresh says that a leader has moved, or a broker is gone. It must not block.
	Refresh()
}

// A Broker is the senders to one. They end when its context ends; Wait waits for that.
type Broker struct {
	cfg        *Config
	connection *connection.Config
	directory  Directory
	id         int32
	senders    []*Sender
	muted      atomic.Int64 // until when the broker wants no request, in Unix nanoseconds
	wg         sync.WaitGroup
}

// NewBroker returns a broker with n senders that connect at once, and again whenever a
// connection is lost.
func NewBroker(ctx context.Context, cfg *Config, c *connection.Config, d Directory, id int32, n int) *Broker {
	b := &Broker{cfg: cfg, connection: c, directory: d, id: id}
	for range n {
		s := &Sender{b: b, ctx: ctx, wake: make(chan struct{}, 1), first: make(chan struct{})}
		b.senders = append(b.senders, s)
		b.wg.Go(s.run)
	}
	return b
}

// Sender returns the sender for a partition, by a number that partitions are spread by.
func (b *Broker) Sender(n int) *Sender { return b.senders[n%len(b.senders)] }

// Ping returns nil when the broker has answered anything after the call. It asks, over a
// connection that writes use, unless a produce request is answered first. Else it returns why
// there is no connection, or ctx's cause.
func (b *Broker) Ping(ctx context.Context) error {
	return b.do(ctx, &job{answered: true, f: func(c *connection.Conn) error {
		_, err := c.RoundTrip(new(apiversions.Request), b.cfg.WriteTimeout)
		return err
	}})
}

// MayWrite asks the leader of a partition to append nothing, and returns the broker's code if
// it refuses the topic to this user: that it checks first.
func (b *Broker) MayWrite(ctx context.Context, topic string, partition int) error {
	return b.do(ctx, &job{f: func(c *connection.Conn) error {
		version, err := c.Version(protocol.Produce)
		if err != nil {
			return err
		}
		r := request{items: []item{{p: &Partition{topic: topic, number: int32(partition)}}}}
		r.encode(c, version, -1, b.cfg.WriteTimeout)
		body, _, err := c.Exchange(r.frame, b.cfg.WriteTimeout)
		if err != nil {
			return err
		}
		var code kafka.Error
		_, err = decode(version, body, func(_ []byte, _ int32, a answer) { code = a.code })
		if code == kafka.TopicAuthorizationFailed || code == kafka.ClusterAuthorizationFailed {
			return code
		}
		return err
	}})
}

// A job is something else than sending that is done with a sender's connection.
type job struct {
	f        func(*connection.Conn) error
	answered bool // an answer to a produce request does as well
	done     chan struct{}
	err      error
}

func (b *Broker) do(ctx context.Context, j *job) error {
	j.done = make(chan struct{})
	s := b.senders[0]
	s.mu.Lock()
	s.jobs = append(s.jobs, j)
	s.mu.Unlock()
	if err := s.down.Load(); err != nil {
		s.endJobs(*err, false)
	}
	s.signal()
	select {
	case <-j.done:
		if j.err != nil {
			return fmt.Errorf("broker %d: %w", b.id, j.err)
		}
		return nil
	case <-ctx.Done():
		return b.unanswered(context.Cause(ctx))
	case <-s.ctx.Done():
		return b.unanswered(context.Cause(s.ctx))
	}
}

// unanswered is the error of a job that has ended before the broker has answered.
func (b *Broker) unanswered(cause error) error {
	address, _ := b.directory.Address(b.id)
	return fmt.Errorf("broker %d: ask %s: %w", b.id, address, cause)
}

// endJobs ends jobs, all or those that an answered produce request does for.
func (s *Sender) endJobs(err error, answered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs = slices.DeleteFunc(s.jobs, func(j *job) bool {
		if answered && !j.answered {
			return false
		}
		j.err = err
		close(j.done)
		return true
	})
}

// work does the jobs. An error is the end of the connection.
func (s *Sender) work(conn *connection.Conn) error {
	for {
		s.mu.Lock()
		if len(s.jobs) == 0 {
			s.mu.Unlock()
			return nil
		}
		j := s.jobs[0]
		s.jobs = slices.Delete(s.jobs, 0, 1)
		s.mu.Unlock()
		if err := j.f(conn); err != nil {
			if cause := context.Cause(s.ctx); cause != nil {
				err = cause // that the connection was closed says less
			}
			j.err = fmt.Errorf("ask %s: %w", conn.Address(), err)
		}
		close(j.done)
		s.used = time.Now()
		if err := conn.Err(); err != nil {
			return err
		}
	}
}

// Wait waits until the senders have ended.
func (b *Broker) Wait() { b.wg.Wait() }

// Connected waits until every sender has tried to connect, and returns why one has not. If the
// context of the senders ends meanwhile, the error is its cause, and how far they had come.
func (b *Broker) Connected() error {
	for _, s := range b.senders {
		if <-s.first; s.firstErr != nil {
			return fmt.Errorf("broker %d: %w", b.id, s.firstErr)
		}
	}
	return nil
}
