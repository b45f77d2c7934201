// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {IRegistry} from "./IRegistry.sol";
import {Owned} from "./Owned.sol";

/// @title The log of one data DAO
/// @notice Says who operates it, which policies held and hold, which turns there were, in what order contributions were
/// committed and which were revoked, and which model grew from which. One turn is open at a time: it is opened with a
/// commitment to its secret queries, takes batches of contributions, is closed, and is recorded with what came of it.
///
/// Definitions:
///   place          the running count of records over all batches, in log order, from 0
///   policy of t    the policy that was in force when turn t was opened; later policies do not touch it
///   line, head     the DAO's models, each grown from the head of its time; a recorded turn's model is the new head
///   royalty(m)     what sales of models that grew from m, directly or not, pay to m's beneficiary, in millionths
///   lineage(m)     the sum over the parents p of m of royalty(p) + lineage(p)
/// Always: turns, batches, places and policy versions only grow, by one act each; a turn never goes back a stage; a
/// revocation stays; a model permits nothing that a parent forbids, owes what its parents owe, and
/// royalty(m) + lineage(m) <= 1,000,000.
contract Registry is IRegistry, Owned, EIP712 {
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
        uint40 openedAt;
        uint40 closedAt;
        uint64 firstPlace;
        uint64 records;
        uint32 policyVersion;
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

    /// @notice A model: one of the DAO's own turns (`turn` is not 0) or a foreign one that the owner registered.
    struct Model {
        uint64 turn;
        uint40 registeredAt;
        uint32 flags;
        uint32 royaltyPpm;
        uint32 lineagePpm;
        address beneficiary;
    }

    /// @notice License flags: what a model's license permits ...
    uint32 public constant PERMITS_COMMERCE = 1;
    uint32 public constant PERMITS_DERIVATIVES = 2;
    uint32 public constant PERMITS_REDISTRIBUTION = 4;
    /// @notice ... and what it demands of those who use it.
    uint32 public constant DEMANDS_ATTRIBUTION = 256;
    uint32 public constant DEMANDS_SAME_LICENSE = 512;
    /// @notice The most parents of a model.
    uint256 public constant MAX_PARENTS = 16;

    uint32 private constant _PERMITS = PERMITS_COMMERCE | PERMITS_DERIVATIVES | PERMITS_REDISTRIBUTION;
    uint32 private constant _DEMANDS = DEMANDS_ATTRIBUTION | DEMANDS_SAME_LICENSE;
    uint256 private constant _PPM = 1_000_000;
    bytes32 private constant _REVOCATION =
        keccak256("Revocation(bytes32 contributionId,address owner,uint256 deadline)");

    /// @inheritdoc IRegistry
    address public operator;
    /// @notice Counts policies; the first is 1.
    uint32 public policyVersion;
    /// @notice The newest turn, 0 before the first.
    uint64 public lastTurn;
    /// @notice The newest batch, 0 before the first; batches are numbered over all turns.
    uint64 public lastBatch;
    /// @notice How many records were committed so far, which is the place of the next.
    uint64 public nextPlace;
    /// @notice The model that the next turn's model grows from, zero before the first.
    bytes32 public head;

    /// @notice The hash of each policy.
    mapping(uint32 version => bytes32 policyHash) public policyAt;
    /// @notice When an owner revoked a contribution, 0 if she did not.
    /// @dev The owner is part of the key, because anybody may name any contribution.
    mapping(bytes32 contributionId => mapping(address owner => uint64 time)) public revokedAt;

    mapping(uint64 turn => Turn) private _turns;
    mapping(uint64 turn => TurnRecord) private _records;
    mapping(bytes32 root => Batch) private _batches;
    mapping(bytes32 model => Model) private _models;
    mapping(bytes32 model => bytes32[]) private _parents;

    /// @notice Only the DAO's operator may do this.
    error NotOperator(address caller, address operator);
    /// @notice The DAO needs an operator.
    error NoOperator();
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
    /// @notice This model is registered already.
    error ModelKnown(bytes32 model);
    /// @notice This model is not registered.
    error ModelUnknown(bytes32 model);
    /// @notice A turn's model grows from the head of the DAO's line.
    error NotTheHead(bytes32 parentModel, bytes32 head);
    /// @notice A model has at most so many parents.
    error TooManyParents(uint256 given, uint256 most);
    /// @notice A license may not permit what a parent's forbids, nor drop what a parent's demands.
    error LicenseExceedsParent(uint32 flags, bytes32 parent, uint32 parentFlags);
    /// @notice Such license flags are not defined.
    error UnknownFlags(uint32 flags, uint32 known);
    /// @notice The royalties along the lineage would be more than the whole price.
    error RoyaltiesExceedPrice(uint256 ppm, uint256 most);
    /// @notice A royalty needs a beneficiary, and a beneficiary a royalty.
    error BeneficiaryMismatch(address beneficiary, uint32 royaltyPpm);
    /// @notice This owner revoked this contribution already.
    error AlreadyRevoked(bytes32 contributionId, address owner, uint64 revokedAt);
    /// @notice The signed revocation has expired.
    error RevocationExpired(uint256 deadline, uint256 time);
    /// @notice The revocation is not signed by this owner.
    error RevocationSignatureInvalid(bytes32 contributionId, address owner);

    event OperatorSet(address indexed operator);
    event PolicySet(uint32 indexed version, bytes32 policyHash);
    event TurnOpened(uint64 indexed turn, bytes32 commitment, uint64 firstPlace, uint32 policyVersion);
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
    event ModelRegistered(
        bytes32 indexed model,
        uint64 indexed turn,
        uint32 flags,
        uint32 royaltyPpm,
        uint32 lineagePpm,
        address beneficiary,
        bytes32[] parents
    );
    event HeadSet(bytes32 indexed model);
    event Revoked(bytes32 indexed contributionId, address indexed owner, uint64 time);

    modifier onlyOperator() {
        require(msg.sender == operator, NotOperator(msg.sender, operator));
        _;
    }

    constructor(address owner_, address operator_, bytes32 policyHash_) Owned(owner_) EIP712("Rodagila", "1") {
        _setOperator(operator_);
        _setPolicy(policyHash_);
    }

    /// @notice Name another operator, for all contracts of the DAO at once.
    function setOperator(address operator_) external onlyOwner {
        _setOperator(operator_);
    }

    /// @notice Put another policy in force, from the next turn on. Contributions name the policy they were signed under.
    function setPolicy(bytes32 policyHash_) external onlyOwner {
        _setPolicy(policyHash_);
    }

    /// @notice Open turn `turn`, which must follow the last one, itself closed. It keeps the policy in force now.
    /// @param commitment commits to the turn's queries, gate, reference roots, embedder and seed before data arrives
    function openTurn(uint64 turn, bytes32 commitment) external onlyOperator {
        uint64 last = lastTurn;
        require(turn == last + 1, TurnOutOfOrder(turn, last + 1));
        // Two open turns would mix their places in the log.
        if (last != 0) require(_turns[last].stage != Stage.Open, WrongStage(last, Stage.Open, Stage.Closed));
        require(commitment != 0, ZeroHash());
        lastTurn = turn;
        (uint64 firstPlace, uint32 version) = (nextPlace, policyVersion);
        _turns[turn] = Turn(Stage.Open, uint40(block.timestamp), 0, firstPlace, 0, version, commitment);
        emit TurnOpened(turn, commitment, firstPlace, version);
    }

    /// @notice Commit `contributions` contributions with `records` records in all, by the Merkle root of their ids.
    /// @dev A record counts from its place here: earlier places win when two records say the same.
    function registerBatch(uint64 turn, bytes32 root, uint32 contributions, uint32 records) external onlyOperator {
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
    function closeTurn(uint64 turn) external onlyOperator {
        Turn storage open = _turns[turn];
        require(open.stage == Stage.Open, WrongStage(turn, open.stage, Stage.Open));
        open.stage = Stage.Closed;
        open.closedAt = uint40(block.timestamp);
        emit TurnClosed(turn, open.records);
    }

    /// @notice Record what came of a closed turn, once. Its model is registered and becomes the head of the line.
    /// @param dataRoot the accepted contributions
    /// @param proofsRoot their proofs
    /// @param modelHash the model that was made
    /// @param parentModel the head it grew from, zero for the first
    /// @param reveal opens the turn's commitment, so that everyone can check it
    function recordTurn(
        uint64 turn,
        bytes32 dataRoot,
        bytes32 proofsRoot,
        bytes32 modelHash,
        bytes32 parentModel,
        bytes32 reveal
    ) external onlyOperator {
        Turn storage closed = _turns[turn];
        require(closed.stage == Stage.Closed, WrongStage(turn, closed.stage, Stage.Closed));
        require(parentModel == head, NotTheHead(parentModel, head));
        closed.stage = Stage.Recorded;
        _records[turn] = TurnRecord(dataRoot, proofsRoot, modelHash, parentModel, reveal);
        emit TurnRecorded(turn, dataRoot, proofsRoot, modelHash, parentModel, reveal);
        _grow(turn, modelHash, parentModel);
    }

    /// @notice Register a foreign model with its license and royalty, so that the DAO's line can grow from it.
    /// @param flags the sum of the license flags that hold
    /// @param royaltyPpm what sales of models grown from it pay to `beneficiary`, in millionths
    function registerModel(
        bytes32 model,
        uint32 flags,
        uint32 royaltyPpm,
        address beneficiary,
        bytes32[] calldata parents
    ) external onlyOwner {
        require(parents.length <= MAX_PARENTS, TooManyParents(parents.length, MAX_PARENTS));
        require(flags & ~(_PERMITS | _DEMANDS) == 0, UnknownFlags(flags, _PERMITS | _DEMANDS));
        require((royaltyPpm == 0) == (beneficiary == address(0)), BeneficiaryMismatch(beneficiary, royaltyPpm));
        uint32 lineage;
        for (uint256 i = 0; i < parents.length; ++i) {
            Model storage parent = _known(parents[i]);
            _requireWithin(flags, parents[i], parent.flags);
            lineage += parent.royaltyPpm + parent.lineagePpm; // at most 16 of at most a million
        }
        // Compared without a sum, which could overflow.
        require(
            royaltyPpm <= _PPM && lineage <= _PPM - royaltyPpm,
            RoyaltiesExceedPrice(uint256(lineage) + royaltyPpm, _PPM)
        );
        _register(model, Model(0, 0, flags, royaltyPpm, lineage, beneficiary), parents);
    }

    /// @notice Let the line go on from `model`: a foreign base, or an earlier model of the line.
    function setHead(bytes32 model) external onlyOwner {
        Model storage next = _known(model);
        require(next.flags & PERMITS_DERIVATIVES != 0, LicenseExceedsParent(PERMITS_DERIVATIVES, model, next.flags));
        head = model;
        emit HeadSet(model);
    }

    /// @notice Revoke one's own contribution: no new grants, and the next turn leaves it out.
    function revoke(bytes32 contributionId) external {
        _revoke(contributionId, msg.sender);
    }

    /// @notice Revoke a contribution by its owner's EIP-712 signature over
    /// `Revocation(bytes32 contributionId,address owner,uint256 deadline)`. Anyone may send it.
    function revokeBySignature(bytes32 contributionId, address owner_, uint256 deadline, bytes calldata signature)
        external
    {
        require(block.timestamp <= deadline, RevocationExpired(deadline, block.timestamp));
        bytes32 digest = revocationDigest(contributionId, owner_, deadline);
        require(
            SignatureChecker.isValidSignatureNowCalldata(owner_, digest, signature),
            RevocationSignatureInvalid(contributionId, owner_)
        );
        _revoke(contributionId, owner_);
    }

    /// @notice The hash of the policy in force.
    function policyHash() external view returns (bytes32) {
        return policyAt[policyVersion];
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

    /// @notice A model and its parents; all zero if it is not registered.
    function modelOf(bytes32 model) external view returns (Model memory, bytes32[] memory parents) {
        return (_models[model], _parents[model]);
    }

    /// @notice A record's commitment. Chain, contract and owner are in the preimage, so nobody else gains by a copy of
    /// it; the salt keeps the record hidden.
    function commitmentOf(address owner_, bytes32 salt, bytes32 recordHash) external view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), owner_, salt, recordHash));
    }

    /// @notice What the owner of a contribution signs to revoke it.
    function revocationDigest(bytes32 contributionId, address owner_, uint256 deadline) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(_REVOCATION, contributionId, owner_, deadline)));
    }

    function _setOperator(address operator_) private {
        require(operator_ != address(0), NoOperator());
        operator = operator_;
        emit OperatorSet(operator_);
    }

    function _setPolicy(bytes32 policyHash_) private {
        require(policyHash_ != 0, ZeroHash());
        uint32 version = ++policyVersion;
        policyAt[version] = policyHash_;
        emit PolicySet(version, policyHash_);
    }

    /// @dev A turn's model has the license of its parent, and owes what that owes; the first may do all.
    function _grow(uint64 turn, bytes32 model, bytes32 parentModel) private {
        bytes32[] memory parents = new bytes32[](parentModel == 0 ? 0 : 1);
        (uint32 flags, uint32 lineage) = (_PERMITS, 0);
        if (parentModel != 0) {
            parents[0] = parentModel;
            Model storage parent = _models[parentModel];
            (flags, lineage) = (parent.flags, parent.royaltyPpm + parent.lineagePpm);
        }
        _register(model, Model(turn, 0, flags, 0, lineage, address(0)), parents);
        head = model;
        emit HeadSet(model);
    }

    function _register(bytes32 hash, Model memory model, bytes32[] memory parents) private {
        require(hash != 0, ZeroHash());
        require(_models[hash].registeredAt == 0, ModelKnown(hash));
        model.registeredAt = uint40(block.timestamp);
        _models[hash] = model;
        _parents[hash] = parents;
        emit ModelRegistered(
            hash, model.turn, model.flags, model.royaltyPpm, model.lineagePpm, model.beneficiary, parents
        );
    }

    function _revoke(bytes32 contributionId, address owner_) private {
        uint64 before = revokedAt[contributionId][owner_];
        require(before == 0, AlreadyRevoked(contributionId, owner_, before));
        revokedAt[contributionId][owner_] = uint64(block.timestamp);
        emit Revoked(contributionId, owner_, uint64(block.timestamp));
    }

    function _known(bytes32 model) private view returns (Model storage known) {
        known = _models[model];
        require(known.registeredAt != 0, ModelUnknown(model));
    }

    function _requireWithin(uint32 flags, bytes32 parent, uint32 parentFlags) private pure {
        require(
            parentFlags & PERMITS_DERIVATIVES != 0 && flags & _PERMITS & ~parentFlags == 0
                && parentFlags & _DEMANDS & ~flags == 0,
            LicenseExceedsParent(flags, parent, parentFlags)
        );
    }
}
