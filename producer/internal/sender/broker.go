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

	"github.com/seed3893aba4/surestart/producer/internal/batch"
	"github.com/seed3893aba4/surestart/producer/internal/connection"
)

// A Directory knows the addresses of brokers.
type Directory interface {
	// Address returns the address of a broker.
	Address(broker int32) (address string, ok bool)
	// Refresh reports that a leader moved or a broker is gone. It must not block.
	Refresh()
}

// A Broker is the senders to one broker. They end when their context ends; Wait waits for that.
type Broker struct {
	cfg        *Config
	connection *connection.Config
	directory  Directory
	id         int32
	senders    []*Sender
	muted      atomic.Pointer[time.Time] // until when the broker wants no request; nil: it never throttled
	wg         sync.WaitGroup
}

// NewBroker returns a broker with n senders. They connect at once, and again whenever a connection
// is lost.
func NewBroker(ctx context.Context, cfg *Config, c *connection.Config, d Directory, id int32, n int) *Broker {
	b := &Broker{cfg: cfg, connection: c, directory: d, id: id}
	for range n {
		s := &Sender{b: b, ctx: ctx, wake: make(chan struct{}, 1), first: make(chan struct{})}
		b.senders = append(b.senders, s)
		b.wg.Go(s.run)
	}
	return b
}

// throttle pauses all senders of the broker, because the quota applies to the client and not to a
// connection. Answers on two connections may arrive in any order, so the longer pause counts.
func (b *Broker) throttle(d time.Duration) {
	if d <= 0 {
		return
	}
	d = b.cfg.Counters.Throttle(d)
	until := time.Now().Add(d)
	for {
		now := b.muted.Load()
		if now != nil && !until.After(*now) || b.muted.CompareAndSwap(now, &until) {
			return
		}
	}
}

// mutedFor is how long the broker still throttles, by the monotonic clock: the other one may be set
// back.
func (b *Broker) mutedFor() time.Duration {
	if until := b.muted.Load(); until != nil {
		return time.Until(*until)
	}
	return 0
}

// Sender returns the sender for a partition. Partitions are spread over the senders by n.
func (b *Broker) Sender(n int) *Sender { return b.senders[n%len(b.senders)] }

// Ping asks the broker for an answer, on a connection that writes use. Pings share one request
// until it is sent. An answer to a produce request ends them too. The caller waits for the returned
// Job, so many Pings need no goroutine.
func (b *Broker) Ping() *Job {
	s := b.senders[0]
	s.mu.Lock()
	if s.ping == nil {
		s.ping = s.newJob(func(c *connection.Conn) error {
			_, err := c.RoundTrip(new(apiversions.Request), b.cfg.WriteTimeout)
			return err
		})
	}
	j := s.ping
	s.mu.Unlock()
	s.jobAdded()
	return j
}

// MayWrite sends the leader of a partition a request that appends nothing. It returns the broker's
// code if the broker refuses the topic to this user, which it checks first. Brokers before Kafka
// 2.4 close the connection when a request has no batch. They receive a batch that no broker
// appends, because its checksum and the acknowledgements are invalid.
func (b *Broker) MayWrite(ctx context.Context, topic string, partition int) error {
	s := b.senders[0]
	j := s.newJob(func(c *connection.Conn) error {
		version, err := c.Version(protocol.Produce)
		if err != nil {
			return err
		}
		r, acks := request{items: []item{{p: &Partition{topic: topic, number: int32(partition)}}}}, int16(-1)
		if version < 8 {
			bad := batch.New()
			defer bad.Free()
			bad.Append(new(kafka.Message), 0, 1<<10)
			bad.Seal(0)
			bad.Stamp(-1, -1, -1)
			bytes := bad.Bytes()
			bytes[len(bytes)-1] ^= 0xff
			r.items[0].bytes, acks = bytes, 2
		}
		r.encode(c, version, acks, b.cfg.WriteTimeout)
		body, _, err := c.Exchange(r.frame, b.cfg.WriteTimeout)
		if err != nil {
			return err
		}
		var code kafka.Error
		throttle, err := decode(version, body, func(_ []byte, _ int32, a answer) { code = a.code })
		b.throttle(throttle)
		if code == kafka.TopicAuthorizationFailed || code == kafka.ClusterAuthorizationFailed {
			return code
		}
		return err
	})
	s.mu.Lock()
	s.jobs = append(s.jobs, j)
	s.mu.Unlock()
	s.jobAdded()
	return j.Wait(ctx)
}

// A Job is a request other than a produce request on a sender's connection.
type Job struct {
	s    *Sender
	f    func(*connection.Conn) error
	done chan struct{} // closed when it has its outcome, err
	err  error
}

func (s *Sender) newJob(f func(*connection.Conn) error) *Job {
	return &Job{s: s, f: f, done: make(chan struct{})}
}

// Wait waits until the job is done. It returns why there is no connection, the error of the
// request, or ctx's cause.
func (j *Job) Wait(ctx context.Context) error {
	select {
	case <-j.done:
		if j.err != nil {
			return fmt.Errorf("broker %d: %w", j.s.b.id, j.err)
		}
		return nil
	case <-ctx.Done():
		return j.s.unanswered(context.Cause(ctx))
	case <-j.s.ctx.Done():
		return j.s.unanswered(context.Cause(j.s.ctx))
	}
}

// unanswered is the error of a job that ended before the broker's answer.
func (s *Sender) unanswered(cause error) error {
	address, _ := s.b.directory.Address(s.b.id)
	return fmt.Errorf("broker %d: ask %s: %w", s.b.id, address, cause)
}

func (j *Job) end(err error) {
	j.err = err
	close(j.done)
}

// jobAdded handles a job that was just added.
func (s *Sender) jobAdded() {
	if err := s.down.Load(); err != nil {
		s.endJobs(*err)
	}
	s.signal()
}

// takeJob removes a job from the queue; nil if it is empty.
func (s *Sender) takeJob() (j *Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.jobs) > 0 {
		j = s.jobs[0]
		s.jobs = slices.Delete(s.jobs, 0, 1)
		return j
	}
	return s.takePingLocked()
}

func (s *Sender) takePingLocked() (j *Job) {
	j, s.ping = s.ping, nil
	return j
}

// endJobs ends all jobs, because there is no connection.
func (s *Sender) endJobs(err error) {
	for j := s.takeJob(); j != nil; j = s.takeJob() {
		j.end(err)
	}
}

// answered ends the Pings, because the broker has answered.
func (s *Sender) answered() {
	s.mu.Lock()
	j := s.takePingLocked()
	s.mu.Unlock()
	if j != nil {
		j.end(nil)
	}
}

// work does the jobs. An error means that the connection has ended.
func (s *Sender) work(conn *connection.Conn) error {
	for j := s.takeJob(); j != nil; j = s.takeJob() {
		err := j.f(conn)
		if err != nil {
			if cause := context.Cause(s.ctx); cause != nil {
				err = cause // more useful than that the connection was closed
			}
			err = fmt.Errorf("ask %s: %w", conn.Address(), err)
		}
		j.end(err)
		s.used = time.Now()
		if err := conn.Err(); err != nil {
			return err
		}
		s.served = true
	}
	return nil
}

// Wait waits until the senders have ended.
func (b *Broker) Wait() { b.wg.Wait() }

// Connected waits until every sender has tried to connect. It returns the error of a sender that
// failed and has not connected since. If the context of the senders ends meanwhile, the error is
// its cause, with the step that they had reached.
func (b *Broker) Connected() error {
	for _, s := range b.senders {
		if <-s.first; s.firstErr != nil && !s.up.Load() {
			return fmt.Errorf("broker %d: %w", b.id, s.firstErr)
		}
	}
	return nil
}

// Down reports whether a sender has tried to connect, and has no connection.
func (b *Broker) Down() bool {
	return slices.ContainsFunc(b.senders, func(s *Sender) bool {
		select {
		case <-s.first:
			return !s.up.Load()
		default:
			return false
		}
	})
}
