// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// @title The log of one data DAO
/// @notice Says which policy holds, which turns there were, and in what order contributions were committed. One turn
/// is open at a time: it is opened with a commitment to its secret queries, takes batches of contributions, is closed,
/// and is recorded with what came of it.
contract Registry is Ownable {
    /// @notice Where a turn stands.
    enum Stage {
        None,
        Open,
        Closed,
        Recorded
    }

    /// @notice A turn's life. `firstPlace` and `records`: the places its records hold in the log.
    struct Turn {
        Stage stage;
        uint64 openedAt;
        uint64 closedAt;
        uint64 firstPlace;
        uint64 records;
        bytes32 commitment;
    }

    /// @notice One Merkle root over many contributions. Its records hold the places from `firstPlace` on.
    struct Batch {
        uint64 turn;
        uint64 number;
        uint64 firstPlace;
        uint32 contributions;
        uint32 records;
    }

    /// @notice What came of a turn.
    struct TurnRecord {
        bytes32 dataRoot;
        bytes32 proofsRoot;
        bytes32 modelHash;
        bytes32 parentModel;
        bytes32 reveal;
    }

    /// @notice The hash of the policy in force.
    bytes32 public policyHash;
    /// @notice Counts policies; the first is 1.
    uint64 public policyVersion;
    /// @notice The newest turn, 0 before the first.
    uint64 public lastTurn;
    /// @notice The newest batch, 0 before the first; batches are numbered over all turns.
    uint64 public lastBatch;
    /// @notice How many records were committed so far, which is the place of the next.
    uint64 public nextPlace;

    mapping(uint64 turn => Turn) private _turns;
    mapping(uint64 turn => TurnRecord) private _records;
    mapping(bytes32 root => Batch) private _batches;

    /// @notice Turns are opened one after another, without a gap.
    error TurnOutOfOrder(uint64 turn, uint64 required);
    /// @notice The turn is not at the stage that this step requires.
    error WrongStage(uint64 turn, Stage stage, Stage required);
    /// @notice This batch root is in the log already.
    error BatchKnown(bytes32 root, uint64 number);
    /// @notice A batch needs a root, at least one contribution, and at least one record.
    error BatchEmpty(bytes32 root, uint32 contributions, uint32 records);
    /// @notice A hash that must say something is zero.
    error ZeroHash();

    event PolicySet(uint64 indexed version, bytes32 policyHash);
    event TurnOpened(uint64 indexed turn, bytes32 commitment, uint64 firstPlace);
    event BatchRegistered(
        uint64 indexed turn, uint64 indexed batch, bytes32 root, uint32 contributions, uint32 records, uint64 firstPlace
    );
    event TurnClosed(uint64 indexed turn, uint64 records);
    event TurnRecorded(
        uint64 indexed turn,
        bytes32 dataRoot,
        bytes32 proofsRoot,
        bytes32 modelHash,
        bytes32 parentModel,
        bytes32 reveal
    );

    constructor(address owner, bytes32 policyHash_) Ownable(owner) {
        _setPolicy(policyHash_);
    }

    /// @notice Put another policy in force. Contributions name the policy they were signed under.
    function setPolicy(bytes32 policyHash_) external onlyOwner {
        _setPolicy(policyHash_);
    }

    /// @notice Open turn `turn`, which must follow the last one, itself closed.
    /// @param commitment commits to the turn's queries, gate, reference roots, embedder and seed before data arrives
    function openTurn(uint64 turn, bytes32 commitment) external onlyOwner {
        uint64 last = lastTurn;
        require(turn == last + 1, TurnOutOfOrder(turn, last + 1));
        // Two open turns would mix their places in the log.
        if (last != 0) require(_turns[last].stage != Stage.Open, WrongStage(last, Stage.Open, Stage.Closed));
        require(commitment != 0, ZeroHash());
        lastTurn = turn;
        uint64 firstPlace = nextPlace;
        _turns[turn] = Turn(Stage.Open, uint64(block.timestamp), 0, firstPlace, 0, commitment);
        emit TurnOpened(turn, commitment, firstPlace);
    }

    /// @notice Commit `contributions` contributions with `records` records in all, by the Merkle root of their ids.
    /// @dev A record counts from its place here: earlier places win when two records say the same.
    function registerBatch(uint64 turn, bytes32 root, uint32 contributions, uint32 records) external onlyOwner {
        Turn storage open = _turns[turn];
        require(open.stage == Stage.Open, WrongStage(turn, open.stage, Stage.Open));
        require(root != 0 && contributions != 0 && records != 0, BatchEmpty(root, contributions, records));
        require(_batches[root].number == 0, BatchKnown(root, _batches[root].number));
        uint64 number = ++lastBatch;
        uint64 firstPlace = nextPlace;
        nextPlace = firstPlace + records;
        open.records += records;
        _batches[root] = Batch(turn, number, firstPlace, contributions, records);
        emit BatchRegistered(turn, number, root, contributions, records, firstPlace);
    }

    /// @notice End the taking of batches: the commit deadline of `turn`.
    function closeTurn(uint64 turn) external onlyOwner {
        Turn storage open = _turns[turn];
        require(open.stage == Stage.Open, WrongStage(turn, open.stage, Stage.Open));
        open.stage = Stage.Closed;
        open.closedAt = uint64(block.timestamp);
        emit TurnClosed(turn, open.records);
    }

    /// @notice Record what came of a closed turn, once.
    /// @param dataRoot the accepted contributions
    /// @param proofsRoot their proofs
    /// @param modelHash the model that was made
    /// @param parentModel the model it grew from, zero for the first
    /// @param reveal opens the turn's commitment, so that everyone can check it
    function recordTurn(
        uint64 turn,
        bytes32 dataRoot,
        bytes32 proofsRoot,
        bytes32 modelHash,
        bytes32 parentModel,
        bytes32 reveal
    ) external onlyOwner {
        Turn storage closed = _turns[turn];
        require(closed.stage == Stage.Closed, WrongStage(turn, closed.stage, Stage.Closed));
        closed.stage = Stage.Recorded;
        _records[turn] = TurnRecord(dataRoot, proofsRoot, modelHash, parentModel, reveal);
        emit TurnRecorded(turn, dataRoot, proofsRoot, modelHash, parentModel, reveal);
    }

    /// @notice The life of `turn`; all zero if it was never opened.
    function turnOf(uint64 turn) external view returns (Turn memory) {
        return _turns[turn];
    }

    /// @notice What came of `turn`; all zero if it is not recorded.
    function recordOf(uint64 turn) external view returns (TurnRecord memory) {
        return _records[turn];
    }

    /// @notice The batch with `root`; its number is 0 if the root is unknown.
    function batchOf(bytes32 root) external view returns (Batch memory) {
        return _batches[root];
    }

    function _setPolicy(bytes32 policyHash_) private {
        require(policyHash_ != 0, ZeroHash());
        policyHash = policyHash_;
        emit PolicySet(++policyVersion, policyHash_);
    }
}
