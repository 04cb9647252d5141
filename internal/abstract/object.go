package abstract

import "fmt"

// Status is the atomic object's state: what a caller can see of the resource
// between two calls.
type Status struct{ Open, Final bool }

// String is "open", "not open" or "closed".
func (s Status) String() string {
	switch {
	case s.Open:
		return "open"
	case s.Final:
		return "closed"
	}
	return "not open"
}

// Op is a call of the atomic object and how it ends: InStart, InStop, InShut or
// InUse, and Out without its number. Failure is the resource's death.
type Op struct {
	Call Call
	Out  Out
}

// Failure is the operation of a failure report: the resource dies, or was not open.
var Failure = Op{}

// Revival is the operation of a restart that has opened the resource while no Start
// waited for it.
var Revival = Op{Idle, Ok}

// Object is the object that the contract implements: each call takes effect at
// once, in a state of three. It maps a state and an operation to the states that
// can follow.
type Object map[Status]map[Op][]Status

// Object reads the atomic object off the model's graph (G3: linearizable). A
// Start takes effect in the step that answers it, a Stop or Shutdown in the one
// that begins the closing or finds nothing to close, a use in the one that
// admits or refuses it. It is an error if a step that is nobody's changes what
// callers see: then the contract would not be linearizable to this object.
func (m Model) Object() (Object, error) {
	var (
		o    = Object{}
		stop = map[Call]map[Out]bool{InStop: {}, InShut: {}} // how a Stop or Shutdown can end
		err  error
	)
	add := func(from Status, op Op, to Status) {
		if o[from] == nil {
			o[from] = map[Op][]Status{}
		}
		for _, known := range o[from][op] {
			if known == to {
				return
			}
		}
		o[from][op] = append(o[from][op], to)
	}
	m.Graph(func(e Edge) {
		from, to := e.From.status(), e.To.status()
		var ops []Op
		for c := range e.From.Call {
			was, is, out := e.From.Call[c], e.To.Call[c], e.To.Out[c].Out
			switch {
			case was == is:
			case was == InStop || was == InShut:
				ops = append([]Op{{was, None}}, ops...) // the one who acts; the rest is told
				if is == Done {
					stop[was][out] = true
				}
			case was == StopWait || was == ShutWait:
				stop[was-1][out] = true
			case (was == InStart || was == Join) && is == Done, was == InUse && is == Done:
				ops = append(ops, Op{kindOf(was), out})
			case was == InUse:
				ops = append(ops, Op{InUse, Ok})
			}
		}
		switch {
		case e.Action == Died:
			ops = append(ops, Failure)
		case e.Action == Opened && len(ops) == 0 && e.From.Again:
			ops = append(ops, Revival)
		}
		if len(ops) == 0 && from != to && err == nil {
			err = fmt.Errorf("%v changes what callers see from %v to %v, and is nobody's", e.Action, from, to)
		}
		for _, op := range ops {
			add(from, op, to)
			from = to
		}
	})
	for from, of := range o {
		for kind, outs := range stop { // now that their results are known
			for _, to := range of[Op{kind, None}] {
				for out := range outs {
					add(from, Op{kind, out}, to)
				}
			}
			delete(of, Op{kind, None})
		}
		add(from, Failure, from)
	}
	return o, err
}

func kindOf(where Call) Call {
	if where == Join {
		return InStart
	}
	return where
}

func (s *State) status() Status { return Status{s.Res == Open, s.Final} }
