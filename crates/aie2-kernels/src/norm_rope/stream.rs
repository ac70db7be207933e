pub struct Buffers; pub struct CacheRun; pub struct Call; pub struct Place;
