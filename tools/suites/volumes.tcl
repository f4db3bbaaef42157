# Runs one of SQLite's test files where databases are volumes. The tests look at a database's file here and there; a
# volume is a directory, so they are shown the file that it stands for: its size and its bytes, and copying and deleting it.

# The answer to a query on a database, on a connection of its own.
proc ask_volume {path query} {
  sqlite3 volume_asked $path
  set failed [catch {volume_asked eval $query} answer]
  volume_asked close
  if {$failed} { error "$path: $answer" }
  return $answer
}

rename file plain_file
proc file {option args} {
  set path [lindex $args end]
  switch -glob -- $option {
    siz* {
      if {[plain_file isdirectory $path]} {
        return [expr [join [ask_volume $path {PRAGMA page_size; PRAGMA page_count}] *]]
      }
      # SQLite makes an empty file of a database when it is opened; a volume begins with what is written first.
      if {![plain_file exists $path]} { return 0 }
    }
    cop* {
      set from [lindex $args end-1]
      if {[plain_file isdirectory $from]} {
        ask_volume $from {PRAGMA plimsoll_sync}
        # Into a directory that is there it would be copied, instead of replacing it.
        if {[lindex $args 0] eq "-force"} { plain_file delete -force $path }
      }
    }
    del* {
      if {[lindex $args 0] ne "-force"} { set args [linsert $args 0 -force] }
      # What has the volume open may make a file in the directory while the others are being deleted.
      for {set tries 0} {$tries < 500 && [catch {uplevel 1 [list plain_file delete {*}$args]}]} {incr tries} { after 20 }
    }
  }
  uplevel 1 [list plain_file $option {*}$args]
}

rename hexio_read plain_hexio_read
proc hexio_read {path offset amount} {
  if {![plain_file isdirectory $path]} { return [plain_hexio_read $path $offset $amount] }
  set size [ask_volume $path {PRAGMA page_size}]
  set hex ""
  while {$amount > 0} {
    set start [expr {$offset % $size}]
    set part [expr {$amount < $size - $start ? $amount : $size - $start}]
    append hex [ask_volume $path "SELECT hex(substr(data, $start + 1, $part)) FROM sqlite_dbpage('main')
      WHERE pgno = $offset / $size + 1"]
    incr offset $part
    incr amount -$part
  }
  return $hex
}

# Writes as a transaction, so only what keeps the database readable can be written thus.
rename hexio_write plain_hexio_write
proc hexio_write {path offset hex} {
  if {![plain_file isdirectory $path]} { return [plain_hexio_write $path $offset $hex] }
  set size [ask_volume $path {PRAGMA page_size}]
  set written [expr {[string length $hex] / 2}]
  while {$hex ne ""} {
    set start [expr {$offset % $size}]
    set part [string range $hex 0 [expr {2 * ($size - $start) - 1}]]
    set bytes [expr {[string length $part] / 2}]
    ask_volume $path "UPDATE sqlite_dbpage SET data =
      CAST(substr(data, 1, $start) || x'$part' || substr(data, $start + $bytes + 1) AS BLOB)
      WHERE pgno = $offset / $size + 1"
    incr offset $bytes
    set hex [string range $hex [string length $part] end]
  }
  return $written
}

set argv0 [lindex $argv 0]
set argv [lrange $argv 1 end]
source $argv0
