package otelfsm

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/parts"
)

// metrics are the instruments. Observable ones read source; the tracer updates the others.
type metrics struct {
	name         attribute.KeyValue
	source       atomic.Pointer[Source]
	registration metric.Registration

	attempts, startFailures, startRetries, releaseFailures, deaths, gaveUp, forced, cutOff metric.Int64Counter
	start, part, stop, rollback                                                            metric.Float64Histogram

	parts parts.Follower
	ends  metric.Float64Histogram // of the running release
}

func newMetrics(name string, meter metric.Meter, known []string) (*metrics, error) {
	m := &metrics{name: NameKey.String(name)}
	var errs []error
	counter := func(to *metric.Int64Counter, name, unit, description string) {
		c, err := meter.Int64Counter("surestart.lifecycle."+name, metric.WithUnit(unit), metric.WithDescription(description))
		*to, errs = c, append(errs, err)
	}
	duration := func(to *metric.Float64Histogram, name, description string) {
		h, err := meter.Float64Histogram("surestart.lifecycle."+name, metric.WithUnit("s"), metric.WithDescription(description),
			metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60))
		*to, errs = h, append(errs, err)
	}
	observable := func(name, unit, description string) metric.Int64ObservableUpDownCounter {
		c, err := meter.Int64ObservableUpDownCounter("surestart.lifecycle."+name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return c
	}
	counter(&m.attempts, "attempts", "{attempt}", "Attempts to start that have ended, by the event that ended them; opened is success.")
	counter(&m.startFailures, "start.failures", "{attempt}", "Attempts to start that failed or were cancelled, by the part that was being acquired.")
	counter(&m.startRetries, "start.retries", "{try}", "Failed tries that another try of the same attempt follows, by the part that was being acquired.")
	counter(&m.releaseFailures, "release.failures", "{release}", "Releases of parts that failed.")
	counter(&m.deaths, "deaths", "{death}", "Deaths of an open resource: failures that were reported.")
	counter(&m.gaveUp, "restarts.given_up", "{time}", "Times that the backoff of the restarts gave up: the resource stays down until a Start.")
	counter(&m.forced, "forced_releases", "{release}", "Releases that did not wait for the uses in flight.")
	counter(&m.cutOff, "cut_off_uses", "{use}", "Uses in flight that forced releases cut off.")
	duration(&m.start, "start.duration", "Duration of the starts that opened the resource.")
	duration(&m.part, "part.duration", "Duration of the acquiring of a part, successful or not.")
	duration(&m.stop, "stop.duration", "Duration of the drain and the release of an open resource.")
	duration(&m.rollback, "rollback.duration", "Duration of the rollback of a failed or cancelled start.")
	state := observable("state", "{lifecycle}", "1 for the present state, 0 for the others.")
	inUse := observable("in_use", "{use}", "Admitted uses that have not ended.")
	waiters := observable("waiters", "{caller}", "Callers of Start, Stop and Shutdown that wait.")
	held := observable("held_parts", "{part}", "Parts of the resource that are held.")
	due := observable("restart_due", "{restart}", "1 while a restart of the resource is scheduled.")
	down := observable("down", "{lifecycle}", "1 while the resource is not open because it died or its start failed, and nothing is going to start it.")
	undelivered := observable("undelivered", "{notification}", "Transitions and steps that are pending for the observer that is furthest behind.")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	m.begin(known)
	var err error
	m.registration, err = meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		source := m.source.Load()
		if source == nil {
			return nil
		}
		s := (*source).Status()
		for each := fsm.Idle; each <= fsm.Closed; each++ {
			n := int64(0)
			if each == s.State {
				n = 1
			}
			to.ObserveInt64(state, n, metric.WithAttributes(m.name, StateKey.String(strings.ToLower(each.String()))))
		}
		mine := metric.WithAttributes(m.name)
		to.ObserveInt64(inUse, int64(s.InFlight), mine)
		to.ObserveInt64(waiters, int64(s.Waiters), mine)
		to.ObserveInt64(held, int64(len(s.Held)), mine)
		to.ObserveInt64(undelivered, int64(s.Undelivered), mine)
		isDue, isDown := parts.Down(s)
		to.ObserveInt64(due, isDue, mine)
		to.ObserveInt64(down, isDown, mine)
		return nil
	}, state, inUse, waiters, held, undelivered, due, down)
	return m, err
}

// begin adds 0 to each counter, so that an event that has not happened is 0, not absent.
func (m *metrics) begin(known []string) {
	ctx, mine := context.Background(), metric.WithAttributes(m.name)
	for _, end := range []fsm.Event{
		fsm.EventOpened, fsm.EventFailed, fsm.EventAbandoned, fsm.EventTimeout, fsm.EventStop, fsm.EventShutdown, fsm.EventDied,
	} {
		m.attempts.Add(ctx, 0, metric.WithAttributes(m.name, ResultKey.String(end.String())))
	}
	for _, counter := range []metric.Int64Counter{m.deaths, m.gaveUp, m.forced, m.cutOff} {
		counter.Add(ctx, 0, mine)
	}
	noPart := metric.WithAttributes(m.name, PartKey.String("")) // open named none
	m.startFailures.Add(ctx, 0, noPart)
	m.startRetries.Add(ctx, 0, noPart)
	for _, part := range known {
		m.know(part)
	}
}

// know starts the counters of a part at 0.
func (m *metrics) know(part string) {
	ctx, of := context.Background(), metric.WithAttributes(m.name, PartKey.String(parts.Label(part)))
	m.startFailures.Add(ctx, 0, of)
	m.startRetries.Add(ctx, 0, of)
	m.releaseFailures.Add(ctx, 0, of)
}

// step counts s. ctx has the attempt's span, so that a sampled trace can be an exemplar.
func (m *metrics) step(ctx context.Context, s fsm.Step) {
	mine := metric.WithAttributes(m.name)
	acquired, ok := m.parts.Step(s)
	m.acquired(ctx, acquired, ok)
	switch {
	case s.Kind == fsm.StepAcquiring, s.Kind == fsm.StepHeld:
		m.know(s.Part)
	case s.Kind == fsm.StepGaveUp:
		m.gaveUp.Add(ctx, 1, mine)
	case s.Kind == fsm.StepRetry:
		m.startRetries.Add(ctx, 1, metric.WithAttributes(m.name, PartKey.String(s.Part)))
	case s.Kind == fsm.StepForced:
		m.forced.Add(ctx, 1, mine)
		m.cutOff.Add(ctx, int64(s.CutOff), mine)
	case s.Kind == fsm.StepReleased && s.Err != nil:
		m.releaseFailures.Add(ctx, 1, metric.WithAttributes(m.name, PartKey.String(s.Part)))
	}
}

func (m *metrics) transition(ctx context.Context, tr fsm.Transition) {
	mine, took := metric.WithAttributes(m.name), tr.Took.Seconds()
	acquired, ok := m.parts.Transition(tr)
	m.acquired(ctx, acquired, ok)
	switch tr.From {
	case fsm.Starting:
		m.attempts.Add(ctx, 1, metric.WithAttributes(m.name, ResultKey.String(tr.Event.String())))
		if tr.To == fsm.Started {
			m.start.Record(ctx, took, mine)
			break
		}
		m.startFailures.Add(ctx, 1, metric.WithAttributes(m.name, PartKey.String(m.parts.Acquiring)))
		m.ends = m.rollback
	case fsm.Started:
		m.ends = m.stop
		if tr.Event == fsm.EventDied {
			m.deaths.Add(ctx, 1, mine)
		}
	case fsm.Stopping:
		if m.ends != nil {
			m.ends.Record(ctx, took, mine)
		}
	}
}

func (m *metrics) acquired(ctx context.Context, a parts.Acquired, ok bool) {
	if ok {
		m.part.Record(ctx, a.Took.Seconds(), metric.WithAttributes(m.name, PartKey.String(a.Part)))
	}
}
