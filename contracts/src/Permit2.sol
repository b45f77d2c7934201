// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {IPermit2} from "./IPermit2.sol";

/// @title Transfers by signature, for every ERC-20: the part of Permit2 that x402 uses
/// @notice An owner approves this contract once, and from then on each transfer needs a signature that names spender,
/// token, most, nonce and deadline. Nonces are bits, in any order. The interface, domain and errors are those of the
/// contract that stands at the same address on public chains.
/// @dev No constructor and no immutables; the chain's id is read at each use.
contract Permit2 is IPermit2 {
    using SafeERC20 for IERC20;

    bytes32 private constant _DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)");
    bytes32 private constant _TOKEN_TYPE = keccak256("TokenPermissions(address token,uint256 amount)");
    bytes32 private constant _PERMIT_TYPE = keccak256(
        "PermitTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline)TokenPermissions(address token,uint256 amount)"
    );
    string private constant _WITNESS_STUB =
        "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,";

    /// @notice The used nonces of an owner, 256 a word: nonce n is bit n % 256 of word n / 256.
    mapping(address owner => mapping(uint256 word => uint256 bits)) public nonceBitmap;

    /// @notice The signature was good until this time.
    error SignatureExpired(uint256 signatureDeadline);
    /// @notice More is asked for than the signature allows.
    error InvalidAmount(uint256 maxAmount);
    /// @notice This nonce is used already.
    error InvalidNonce();
    /// @notice The signature is not the owner's over exactly this.
    error InvalidSigner();

    /// @notice The owner made the nonces in `mask` of a word unusable.
    event UnorderedNonceInvalidation(address indexed owner, uint256 word, uint256 mask);

    /// @notice Move the owner's tokens; the owner signed the caller as spender.
    function permitTransferFrom(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata transferDetails,
        address owner,
        bytes calldata signature
    ) external {
        bytes32 signed = keccak256(
            abi.encode(_PERMIT_TYPE, _hashOf(permit.permitted), msg.sender, permit.nonce, permit.deadline)
        );
        _move(permit, transferDetails, owner, signed, signature);
    }

    /// @inheritdoc IPermit2
    function permitWitnessTransferFrom(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata transferDetails,
        address owner,
        bytes32 witness,
        string calldata witnessTypeString,
        bytes calldata signature
    ) external {
        bytes32 signed = keccak256(
            abi.encode(
                keccak256(abi.encodePacked(_WITNESS_STUB, witnessTypeString)),
                _hashOf(permit.permitted),
                msg.sender,
                permit.nonce,
                permit.deadline,
                witness
            )
        );
        _move(permit, transferDetails, owner, signed, signature);
    }

    /// @notice Make the caller's nonces in `mask` of a word unusable.
    function invalidateUnorderedNonces(uint256 word, uint256 mask) external {
        nonceBitmap[msg.sender][word] |= mask;
        emit UnorderedNonceInvalidation(msg.sender, word, mask);
    }

    /// @notice The EIP-712 domain on this chain; it has no version.
    // forge-lint: disable-next-line(mixed-case-function)
    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        return keccak256(abi.encode(_DOMAIN_TYPE, keccak256("Permit2"), block.chainid, address(this)));
    }

    function _move(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata details,
        address owner,
        bytes32 signed,
        bytes calldata signature
    ) private {
        require(block.timestamp <= permit.deadline, SignatureExpired(permit.deadline));
        require(details.requestedAmount <= permit.permitted.amount, InvalidAmount(permit.permitted.amount));
        _useNonce(owner, permit.nonce);
        bytes32 digest = MessageHashUtils.toTypedDataHash(DOMAIN_SEPARATOR(), signed);
        require(SignatureChecker.isValidSignatureNowCalldata(owner, digest, signature), InvalidSigner());
        IERC20(permit.permitted.token).safeTransferFrom(owner, details.to, details.requestedAmount);
    }

    function _useNonce(address owner, uint256 nonce) private {
        // forge-lint: disable-next-line(incorrect-shift)
        (uint256 word, uint256 bit) = (nonce >> 8, 1 << (nonce & 0xff));
        uint256 bits = nonceBitmap[owner][word];
        require(bits & bit == 0, InvalidNonce());
        nonceBitmap[owner][word] = bits | bit;
    }

    function _hashOf(TokenPermissions calldata permitted) private pure returns (bytes32) {
        return keccak256(abi.encode(_TOKEN_TYPE, permitted));
    }
}
