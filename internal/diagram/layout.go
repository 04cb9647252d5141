package diagram

// layout has the places of the nodes of a level in its picture. The few nodes are placed by
// hand; nodes and edges come from the graph. SVG returns an error for a node without a place,
// and a test draws every level.
type layout struct {
	width, height int
	box           int             // width of a node's box
	at            map[string]spot // the middle of each node
	bend          map[string]int  // how far an edge, named "from to", curves to its left
}

// spot is the middle of a node, and how much taller than others it is.
type spot struct{ x, y, tall int }

var layouts = map[string]layout{
	"machine": {width: 760, height: 330, box: 130, at: map[string]spot{
		"Idle": {90, 70, 0}, "Starting": {380, 70, 0}, "Started": {670, 70, 0}, "Stopping": {380, 270, 0}, "Closed": {90, 270, 0},
	}},
	"algorithm": {width: 1240, height: 540, box: 174, at: map[string]spot{
		"Idle": {100, 60, 0}, "Starting: open": {420, 60, 0}, "Started": {1140, 60, 0},
		"Starting: release": {660, 270, 0}, "Stopping: open": {930, 270, 0},
		"Closed": {100, 480, 0}, "Stopping: release": {420, 480, 0}, "Stopping: drain": {1140, 480, 0},
	}},
	// A call goes from left to right, and back by Return.
	"calls": {width: 1160, height: 800, box: 110, at: map[string]spot{
		"idle":  {75, 400, 400},
		"start": {340, 100, 0}, "join": {660, 60, 0},
		"stop": {340, 300, 0}, "stopwait": {660, 265, 0},
		"shut": {340, 500, 0}, "shutwait": {660, 535, 0},
		"use": {340, 700, 0}, "using": {610, 740, 0}, "cut": {880, 740, 0},
		"done": {1085, 400, 400},
	}, bend: map[string]int{"start done": 15}},
}
