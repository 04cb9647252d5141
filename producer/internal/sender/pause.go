package sender

import (
	"math/rand/v2"
	"time"

	"github.com/seed3893aba4/surestart/producer/internal/connection"
)

// pauseLocked pauses the partition until its timer fires.
func (p *Partition) pauseLocked(d time.Duration) {
	p.inHand, p.paused = true, true
	if p.timer == nil {
		p.timer = time.AfterFunc(d, p.resume)
	} else {
		p.timer.Reset(d)
	}
}

// resume ends the pause after a failed attempt.
func (p *Partition) resume() {
	p.mu.Lock()
	p.paused, p.inHand = false, false
	s := p.offerLocked(time.Now())
	p.mu.Unlock()
	wake(s)
}

// The pauses between the attempts to send a batch double, from the first to the longest.
const (
	FirstPause   = 10 * time.Millisecond
	LongestPause = time.Second
)

// pauseAfter is the pause after the n-th failed attempt.
func pauseAfter(n int) time.Duration { return spread(connection.Pause(n, FirstPause, LongestPause)) }

// spread returns d, give or take a fifth, so that producers that failed together do not return
// together.
func spread(d time.Duration) time.Duration { return d*4/5 + rand.N(d*2/5) }
