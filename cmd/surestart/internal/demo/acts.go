package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/seed3893aba4/surestart/spec"
)

// refused: act 1. Every caller is told of the failure, nothing is left.
func (s *storm) refused(ctx context.Context) error {
	n := s.cfg.Callers
	s.screen.act(1, fmt.Sprintf("The broker is down. %s callers call Start at once.", Commas(n)))
	o := crowd{n: n, patience: always(5 * time.Second)}.call(ctx, s.sys, s.answered, nil)
	s.col.ToldEarly += o.early
	if err := s.sys.Stop(ctx); err != nil {
		s.screen.note("Stop: %v", err)
	}
	s.tidy(spec.Idle)
	conns, left := s.look(ctx)
	s.screen.note("%s were told the error, %s \"ok\". %s", Commas(o.failed+o.gaveUp), Commas(o.ok), leftOpen(conns, left))
	return nil
}

// ignored: act 2. The broker takes connections and says nothing; all give up, and
// the last one to leave ends the attempt. Half of them come a little later.
func (s *storm) ignored(ctx context.Context) error {
	n := s.cfg.Callers
	s.screen.act(2, fmt.Sprintf("It hangs: it accepts, and never answers. %s callers call Start; all give up in the end.", Commas(n)))
	if err := s.cl.set(hanging); err != nil {
		return err
	}
	o := crowd{
		n: n, late: n / 2, lateBy: 100 * time.Millisecond,
		patience: func(i int) time.Duration { return time.Duration(300+i%100) * time.Millisecond },
	}.call(ctx, s.sys, s.answered, nil)
	s.col.ToldEarly += o.early
	took, err, ended := timed(stopLimit, func() error { return s.sys.Stop(ctx) })
	switch {
	case !ended:
		s.screen.note("Stop has not returned after %s.", seconds(took))
	case err != nil:
		s.screen.note("Stop: %v", err)
	}
	s.tidy(spec.Idle)
	conns, left := s.look(ctx)
	s.screen.note("%s gave up, %s were told \"ok\" though nothing was open. %s",
		Commas(o.gaveUp+o.failed), Commas(o.early), leftOpen(conns, left))
	return nil
}

// woken: act 3. The broker hangs until every caller has called and the impatient
// have left; then it works. One opening serves all who waited.
func (s *storm) woken(ctx context.Context) error {
	n := s.cfg.Callers
	impatient := n / 5
	s.screen.act(3, fmt.Sprintf("It hangs, then works. %s callers call Start; %s of them give up before it works.", Commas(n), Commas(impatient)))
	before := s.opened()
	var failed error
	o := crowd{n: n, patience: func(i int) time.Duration {
		if i%5 == 0 && i/5 < impatient {
			return time.Duration(50+i%100) * time.Millisecond
		}
		return hangGuard
	}}.call(ctx, s.sys, s.answered, func() {
		time.Sleep(300 * time.Millisecond)
		failed = s.cl.set(working)
	})
	if failed != nil {
		return failed
	}
	s.col.Opens = s.opened() - before
	s.col.ToldEarly += o.early
	s.col.Denied += max(0, n-impatient-o.ok)
	s.tidy(spec.Started)
	s.screen.note("The broker counts %s. %s were told \"ok\", %s of them too early; %s gave up.",
		plural(s.col.Opens, "opening"), Commas(o.ok), Commas(o.early), Commas(o.gaveUp+o.failed))
	if o.err != nil {
		s.screen.note("One was told: %s", clip(o.err.Error(), 90))
	}
	return nil
}

// interrupted: act 4. It is stopped with writes in flight, and started again.
func (s *storm) interrupted(ctx context.Context, send func()) error {
	s.screen.act(4, fmt.Sprintf("8 writers send %s messages. It is stopped in the middle, and started again.", Commas(s.cfg.Messages)))
	send()
	if err := s.reach(ctx, s.cfg.Messages*2/5); err != nil {
		return err
	}
	took, err, ended := timed(stopLimit, func() error { return s.sys.Stop(ctx) })
	s.col.Drained = ended && err == nil
	s.col.DrainTime = took.Milliseconds()
	s.tidy(spec.Idle)
	conns, left := s.look(ctx)
	if ended {
		s.screen.note("Stop took %d ms, %s. %s", took.Milliseconds(), errorOr(err, "no error"), leftOpen(conns, left))
	} else { // kafka-go's issue 1307: a write that races Close
		s.screen.note("Stop has not returned after %s, though the broker works. %s", seconds(took), leftOpen(conns, left))
	}
	return s.again(ctx)
}

// again starts a stopped system, by as many callers as there are writers.
func (s *storm) again(ctx context.Context) error {
	before := s.opened()
	o := crowd{n: writers, patience: always(hangGuard)}.call(ctx, s.sys, s.answered, nil)
	s.col.Reopens += s.opened() - before
	s.col.ToldEarly += o.early
	s.col.Denied += writers - o.ok
	if o.ok == 0 {
		return stuck{fmt.Errorf("it cannot be started again: %w", o.err)}
	}
	s.tidy(spec.Started)
	s.load.resume()
	return nil
}

// hung: act 5. The broker hangs while messages are being sent, and the producer
// is stopped within a deadline. Then the broker dies.
func (s *storm) hung(ctx context.Context) error {
	if err := s.reach(ctx, s.cfg.Messages*7/10); err != nil {
		return err
	}
	s.screen.act(5, fmt.Sprintf("The broker hangs again, with writes in flight. Stop is called with a deadline of %s.", seconds(stopPatience)))
	if err := s.cl.set(hanging); err != nil {
		return err
	}
	s.load.sendAll() // so that there is something to send, however quick the writers were
	// Time for whoever does not wait for answers to hand over more.
	time.Sleep(300 * time.Millisecond)
	s.col.InFlight = s.load.writing.Load()
	took, err, ended := timed(stopLimit, func() error {
		ctx, cancel := context.WithTimeout(ctx, stopPatience)
		defer cancel()
		return s.sys.Stop(ctx)
	})
	s.col.HungTime, s.col.HungEnded = took.Milliseconds(), ended
	s.tidy(spec.Idle)
	conns, left := s.look(ctx)
	after := leftOpen(conns, left)
	switch e := stopFailure(err); {
	case !ended:
		s.screen.note("Stop has not returned after %s. %s", seconds(took), after)
	case e != nil:
		s.col.CutOff = e.Messages
		s.screen.note("Stop returned after %s: %s. %s", seconds(took), cutOff(e), after)
	default:
		s.screen.note("Stop returned after %s: %s. %s", seconds(took), errorOr(err, "no error"), after)
	}
	s.load.abandon()
	return s.cl.set(down)
}

// finished: act 6. The broker is back; what was not acknowledged is sent, and the
// producer is closed for good.
func (s *storm) finished(ctx context.Context) error {
	s.screen.act(6, "The broker was killed and is back. The rest is sent, then the producer is closed for good.")
	if err := s.cl.set(working); err != nil {
		return err
	}
	if err := s.lookUp(ctx); err != nil {
		return err
	}
	if err := s.again(ctx); err != nil {
		return err
	}
	if err := s.reach(ctx, s.cfg.Messages); err != nil {
		return err
	}
	took, err, ended := timed(stopLimit, func() error { return s.sys.Shutdown(ctx) })
	s.col.Drained = s.col.Drained && ended && err == nil
	s.tidy(spec.Closed)
	conns, left := s.look(ctx)
	how := fmt.Sprintf("Closed after %d ms, %s.", took.Milliseconds(), errorOr(err, "no error"))
	if !ended {
		how = fmt.Sprintf("The last stop has not returned after %s, though the broker works.", seconds(took))
	}
	s.screen.note("%s %s", how, leftOpen(conns, left))
	return nil
}

// lookUp reads the log for the messages that may have been delivered: those that are there are not
// sent again. Of the naive producer's failures none says which messages these are.
func (s *storm) lookUp(ctx context.Context) error {
	if s.load.unsure() == 0 {
		return nil
	}
	there := make(map[int]bool)
	if err := s.log.read(ctx, s.from, func(value []byte) {
		if n, ok := sequence(s.load.run, value); ok {
			there[n] = true
		}
	}); err != nil {
		return err
	}
	n, found := s.load.lookUp(there)
	s.screen.note("Of the %s that may have been delivered %s are on the broker. The other %s are sent again.", Commas(n), Commas(found), Commas(n-found))
	return nil
}

// reach waits for n acknowledged messages.
func (s *storm) reach(ctx context.Context, n int) error {
	if s.load.reach(ctx, n, stallGuard, func(done int, final bool) { s.screen.progress(done, s.cfg.Messages, final) }) {
		return nil
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return stuck{fmt.Errorf("%s of %s messages are acknowledged, and for %v none more", Commas(s.load.count.Load()), Commas(n), stallGuard)}
}

// tidy lets the screen catch up with the state that the system should be in.
func (s *storm) tidy(state spec.State) {
	if s.journal == nil {
		return
	}
	s.journal.settled(state)
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	s.col.Legal = s.col.Legal && s.journal.legal
}

func errorOr(err error, none string) string {
	if err == nil {
		return none
	}
	return clip(err.Error(), 80)
}

func plural[T int | int64](n T, what string) string {
	if n == 1 {
		return fmt.Sprintf("1 %s", what)
	}
	return fmt.Sprintf("%s %ss", Commas(n), what)
}
