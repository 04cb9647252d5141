package producer

import (
	"time"

	"github.com/seed3893aba4/surestart/fsm"
)

// resilience returns the options for Config.Retry and Config.Breaker.
func (p *Producer) resilience() (opts []fsm.Option) {
	if p.cfg.Retry != nil {
		opts = append(opts, fsm.WithRetry(retries{p}))
	}
	if p.cfg.Breaker != nil {
		opts = append(opts, fsm.WithBreaker(p.cfg.Breaker))
	}
	return opts
}

// retries asks Config.Retry about temporary errors while there is time for another try. A pause
// until the StartTimeout would only delay an error that is already known.
type retries struct{ p *Producer }

// Next implements fsm.Backoff.
func (r retries) Next(try int, err error) (wait time.Duration, again bool) {
	if !Temporary(err) {
		return 0, false
	}
	wait, again = r.p.cfg.Retry.Next(try, err)
	return wait, again && wait < time.Until(r.p.openUntil())
}

// openUntil is when the attempt ends by itself, with all its tries. That is shortly before the
// start timeout, whose error could not say what the attempt was waiting for.
func (p *Producer) openUntil() time.Time {
	timeout := p.cfg.StartTimeout
	// It is Starting since the attempt began, however often it has tried.
	return p.lifecycle.Status().Since.Add(timeout - min(timeout/20, 200*time.Millisecond))
}
