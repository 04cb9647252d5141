package sender

import (
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seed3893aba4/surestart/internal/core"
)

// A waiter is a call of Flush.
type waiter struct {
	upTo core.Message
	done chan struct{}
}

// Withdraw gives verdicts to those of n messages, from number first on, that have none. It does not
// wait.
func (p *Partition) Withdraw(first core.Message, n int, cause error) {
	p.mu.Lock()
	cause = p.because(cause)
	var all []core.Decided // runs, so that messages of a call have one completion
	for m := first; m < first+core.Message(n); m++ {
		out, err := p.core.Withdraw(m)
		if err != nil {
			continue // it has its verdict
		}
		p.cfg.Counters.Withdrawn.Add(1)
		if last := len(all) - 1; last >= 0 && all[last].Last == m-1 && all[last].Verdict == out.Decided[0].Verdict {
			all[last].Last = m
		} else {
			all = append(all, out.Decided...)
		}
	}
	p.decideLocked(core.Outcome{Decided: all}, verdicts{cause: cause})
	p.sweepLocked()
	p.completeLaterLocked()
	p.mu.Unlock()
}

// completeLaterLocked leaves completions to a goroutine.
func (p *Partition) completeLaterLocked() {
	if len(p.completed) > 0 {
		p.cfg.Completer.later(p.completed)
		p.completed = nil
	}
}

// complete runs the completions of the last answer, in the sender's goroutine.
func (p *Partition) complete() {
	p.mu.Lock()
	list := p.completed
	p.completed = nil
	p.mu.Unlock()
	for _, x := range list {
		p.cfg.Completer.run(x)
	}
}

// verdicts has the facts that calls receive in addition to the verdict.
type verdicts struct {
	cause  error
	offset int64 // of the batch, if it was delivered; -1: not known
	wait   bool  // until the completion has returned
}

// Because wraps a cause, and the reason why nothing can be sent to the partition, if known.
func (p *Partition) Because(cause error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.because(cause)
}

// because wraps a cause, the error of the last attempt, and why there is no further one now.
func (p *Partition) because(cause error) error {
	switch {
	case p.cause == nil || p.core.State() == core.Empty && !p.again:
	case p.attempts == 0: // the batch that was refused was taken apart
		cause = fmt.Errorf("%w: %w", cause, p.cause)
	default:
		cause = fmt.Errorf("%w (%d attempts): %w", cause, p.attempts, p.cause)
	}
	if p.sender == nil {
		return fmt.Errorf("%w: %w", cause, kafka.LeaderNotAvailable)
	}
	if err := p.sender.down.Load(); err != nil {
		return fmt.Errorf("%w: broker %d: %w", cause, p.sender.b.id, *err)
	}
	if p.sender.completing.Load() {
		return fmt.Errorf("%w: broker %d: Completion has not returned", cause, p.sender.b.id)
	}
	if wait := p.sender.b.mutedFor(); wait > 0 {
		return fmt.Errorf("%w: broker %d wants no request for another %v, because of a quota", cause, p.sender.b.id, wait.Round(time.Millisecond))
	}
	return cause
}

// decideLocked counts verdicts and passes them to the calls.
func (p *Partition) decideLocked(out core.Outcome, v verdicts) {
	p.cfg.Counters.count(out.Decided)
	p.resolveLocked(out.Decided, v)
}

// resolveLocked passes counted verdicts to the calls.
func (p *Partition) resolveLocked(decided []core.Decided, v verdicts) {
	for _, d := range decided {
		p.resolveRunLocked(d, v)
	}
	p.notifyLocked()
}

// resolveRunLocked passes the verdict of a run of messages to the calls.
func (p *Partition) resolveRunLocked(d core.Decided, v verdicts) {
	failure := Failure{}
	if d.Verdict != core.Delivered {
		failure, v.offset = Failure{d.Verdict, v.cause}, -1
	}
	var x *completion
	if p.cfg.Completer != nil {
		x = completions.Get().(*completion)
		x.failure = failure
	}
	m := d.First
	for _, ch := range p.chunks {
		if m > d.Last {
			break
		}
		at := ch.find(m)
		if at < 0 {
			continue
		}
		n := ch.contiguous(at, int(d.Last-m)+1)
		if x != nil {
			x.add(p, ch, at, n, v.offset, v.wait)
		}
		ch.decide(at, n, failure, v.offset, x == nil || !v.wait)
		m += core.Message(n)
	}
	if x != nil {
		p.cfg.Completer.begin(x)
		p.completed = append(p.completed, x)
	}
	if m <= d.Last {
		panic(fmt.Sprintf("sender: the core decided message %d, which is in no chunk", m))
	}
}

// Flush sends lingering messages. It returns a channel that is closed when every message admitted
// before has its verdict, and a function for a waiter that leaves.
func (p *Partition) Flush() (<-chan struct{}, func()) {
	p.mu.Lock()
	if _, any := p.firstOpenLocked(); !any {
		p.mu.Unlock()
		return closed, func() {}
	}
	last := p.chunks[len(p.chunks)-1]
	w := waiter{last.numbers[len(last.numbers)-1].Last, make(chan struct{})}
	p.waiters = append(p.waiters, w)
	p.flushes++
	s := p.offerLocked(time.Now())
	p.mu.Unlock()
	wake(s)
	return w.done, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if i := slices.Index(p.waiters, w); i >= 0 {
			p.waiters = slices.Delete(p.waiters, i, i+1)
			p.flushes--
		}
	}
}

var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// notifyLocked ends each Flush whose messages have their verdicts.
func (p *Partition) notifyLocked() {
	if len(p.waiters) == 0 {
		return
	}
	first, any := p.firstOpenLocked()
	p.waiters = slices.DeleteFunc(p.waiters, func(w waiter) bool {
		if any && first <= w.upTo {
			return false
		}
		close(w.done)
		p.flushes--
		return true
	})
}

// firstOpenLocked returns the first message whose call has not received its verdict.
func (p *Partition) firstOpenLocked() (core.Message, bool) {
	for _, ch := range p.chunks {
		for i := range ch.slots {
			if ch.slots[i].call != nil {
				return ch.number(i), true
			}
		}
	}
	return 0, false
}

// Stop ends admission, and sends lingering messages.
func (p *Partition) Stop() {
	p.mu.Lock()
	if p.core.Stop() == nil {
		p.flushes++ // until it has ended
	}
	s := p.offerLocked(time.Now())
	p.mu.Unlock()
	wake(s)
}

// StopEnds ends the stop, once every message has its verdict.
func (p *Partition) StopEnds() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.core.StopEnds(); err != nil {
		return err
	}
	p.flushes = 0
	return nil
}

// Cut gives every message its verdict now, and returns how many have each. The caller must call
// resolve, which passes the verdicts to the calls; its duration grows with their number. The batch
// under way stays with the sender that holds it.
func (p *Partition) Cut(cause error) (n Counts, resolve func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	because := p.because(cause)
	out, err := p.core.Cut()
	if err != nil {
		return n, func() {}
	}
	n = p.cfg.Counters.count(out.Decided)
	return n, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.resolveLocked(out.Decided, verdicts{cause: because, wait: true})
		p.completeLaterLocked()
		if p.paused && p.timer.Stop() {
			p.paused, p.inHand = false, false
		}
		if p.linger != nil {
			p.linger.Stop()
		}
		p.due, p.flushes = time.Time{}, 0
		p.sweepLocked()
	}
}
